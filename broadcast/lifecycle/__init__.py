"""The life of an alert: its states, what an alert message does to others, and what may be sent where. Pure."""

from broadcast.lifecycle.decisions import (
    ACTIONS,
    Action,
    Decision,
    Known,
    decide,
    expires_at,
    may_carry,
    participants_only,
)
from broadcast.lifecycle.states import (
    FINAL_STATES,
    LIVE_STATES,
    AlertState,
    Transition,
    TransitionError,
    may_happen,
    next_state,
)

__all__ = [
    "ACTIONS",
    "FINAL_STATES",
    "LIVE_STATES",
    "Action",
    "AlertState",
    "Decision",
    "Known",
    "Transition",
    "TransitionError",
    "decide",
    "expires_at",
    "may_carry",
    "may_happen",
    "next_state",
    "participants_only",
]
