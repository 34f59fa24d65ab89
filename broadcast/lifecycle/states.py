"""The states of an alert and every way from one to the next, as one literal table."""

from enum import StrEnum

from broadcast.errors import BroadcastError


class AlertState(StrEnum):
    """Where an alert stands.

    `accepted`: its event is read. `pending_approval`: waits for a second person. `expanding`: its audience is being
    resolved and its jobs produced. `sending`: all jobs are produced. The rest are final for sending.
    """

    ACCEPTED = "accepted"
    PENDING_APPROVAL = "pending_approval"
    EXPANDING = "expanding"
    SENDING = "sending"
    COMPLETED = "completed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


class Happening(StrEnum):
    """What can happen to an alert: asked for by an alert event, or found by a stage."""

    SUBMITTED = "submitted"
    HELD = "held"
    PLANNED = "planned"
    REFUSED = "refused"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    EXPANDED = "expanded"
    FINISHED = "finished"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


LIVE_STATES = frozenset(
    {AlertState.ACCEPTED, AlertState.PENDING_APPROVAL, AlertState.EXPANDING, AlertState.SENDING, AlertState.COMPLETED}
)
"""States in which an alert still speaks: a Cancel or an Update of it has something to withdraw."""

FINAL_STATES = frozenset(
    {AlertState.COMPLETED, AlertState.REFUSED, AlertState.CANCELLED, AlertState.EXPIRED, AlertState.SUPERSEDED}
)
"""States in which nothing more is submitted."""

_S, _H = AlertState, Happening

TRANSITIONS: dict[tuple[AlertState | None, Happening], AlertState] = {
    (None, _H.SUBMITTED): _S.ACCEPTED,
    (_S.ACCEPTED, _H.PLANNED): _S.EXPANDING,
    (_S.ACCEPTED, _H.HELD): _S.PENDING_APPROVAL,
    (_S.ACCEPTED, _H.REFUSED): _S.REFUSED,
    (_S.ACCEPTED, _H.CANCELLED): _S.CANCELLED,
    (_S.ACCEPTED, _H.EXPIRED): _S.EXPIRED,
    (_S.ACCEPTED, _H.SUPERSEDED): _S.SUPERSEDED,
    (_S.PENDING_APPROVAL, _H.APPROVED): _S.EXPANDING,
    (_S.PENDING_APPROVAL, _H.REJECTED): _S.REFUSED,
    (_S.PENDING_APPROVAL, _H.RETURNED): _S.REFUSED,
    # Nothing of it was sent, so nothing is there to cancel: it is refused (docs/cap.md, L3).
    (_S.PENDING_APPROVAL, _H.CANCELLED): _S.REFUSED,
    (_S.PENDING_APPROVAL, _H.EXPIRED): _S.EXPIRED,
    (_S.PENDING_APPROVAL, _H.SUPERSEDED): _S.SUPERSEDED,
    (_S.EXPANDING, _H.EXPANDED): _S.SENDING,
    # Its groups turned out to be missing or empty.
    (_S.EXPANDING, _H.REFUSED): _S.REFUSED,
    (_S.EXPANDING, _H.CANCELLED): _S.CANCELLED,
    (_S.EXPANDING, _H.EXPIRED): _S.EXPIRED,
    (_S.EXPANDING, _H.SUPERSEDED): _S.SUPERSEDED,
    (_S.SENDING, _H.FINISHED): _S.COMPLETED,
    (_S.SENDING, _H.CANCELLED): _S.CANCELLED,
    (_S.SENDING, _H.EXPIRED): _S.EXPIRED,
    (_S.SENDING, _H.SUPERSEDED): _S.SUPERSEDED,
    (_S.COMPLETED, _H.CANCELLED): _S.CANCELLED,
    (_S.COMPLETED, _H.SUPERSEDED): _S.SUPERSEDED,
    # What a stage had begun before the end arrives after it, and changes nothing.
    (_S.CANCELLED, _H.EXPANDED): _S.CANCELLED,
    (_S.CANCELLED, _H.FINISHED): _S.CANCELLED,
    (_S.CANCELLED, _H.CANCELLED): _S.CANCELLED,
    (_S.EXPIRED, _H.EXPANDED): _S.EXPIRED,
    (_S.EXPIRED, _H.FINISHED): _S.EXPIRED,
    (_S.SUPERSEDED, _H.EXPANDED): _S.SUPERSEDED,
    (_S.SUPERSEDED, _H.FINISHED): _S.SUPERSEDED,
}
"""The next state by (state, happening); None is the state of an alert not yet known. What is absent cannot happen."""


class TransitionError(BroadcastError):
    """Something cannot happen to an alert in its state: `state`, `happening`, and what can."""

    def __init__(self, state: AlertState | None, happening: Happening) -> None:
        self.state, self.happening = state, happening
        possible = ", ".join(other for known, other in TRANSITIONS if known == state) or "nothing"
        super().__init__(f"an alert that is {state or 'not known'} cannot be {happening}; possible is: {possible}")


def next_state(state: AlertState | None, happening: Happening) -> AlertState:
    """The state that follows; raises `TransitionError`."""
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        raise TransitionError(state, happening) from None


def may_happen(state: AlertState | None, happening: Happening) -> bool:
    """Whether something can happen to an alert in a state."""
    return (state, happening) in TRANSITIONS
