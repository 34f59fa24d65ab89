"""The life of an alert: its states, what an alert message does to others, and what may be sent where. Pure."""

from broadcast.lifecycle.decisions import (
    ACTIONS,
    Action,
    Decision,
    decide,
    may_carry,
    participants_only,
)
from broadcast.lifecycle.references import EFFECTS, Effect, Known, Standing, Successor
from broadcast.lifecycle.states import (
    FINAL_STATES,
    LIVE_STATES,
    AlertState,
    Transition,
    TransitionError,
    may_happen,
    next_state,
)
from broadcast.lifecycle.stops import CANCEL_ANSWERS, INCOMPLETE, STOPPED_NOTHING
from broadcast.lifecycle.validity import ends_of, expires_at, in_force

__all__ = [
    "ACTIONS",
    "CANCEL_ANSWERS",
    "EFFECTS",
    "FINAL_STATES",
    "INCOMPLETE",
    "LIVE_STATES",
    "STOPPED_NOTHING",
    "Action",
    "AlertState",
    "Decision",
    "Effect",
    "Known",
    "Standing",
    "Successor",
    "Transition",
    "TransitionError",
    "decide",
    "ends_of",
    "expires_at",
    "in_force",
    "may_carry",
    "may_happen",
    "next_state",
    "participants_only",
]
