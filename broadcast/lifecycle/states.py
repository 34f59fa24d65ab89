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


class Transition(StrEnum):
    """What can happen to an alert: asked for by an alert event, or decided by a stage."""

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
"""States in which a Cancel or an Update of the alert has something to withdraw."""

FINAL_STATES = frozenset(
    {AlertState.COMPLETED, AlertState.REFUSED, AlertState.CANCELLED, AlertState.EXPIRED, AlertState.SUPERSEDED}
)
"""States in which every recipient has an outcome or gets none; of a completed alert copies may still be sent."""

_S, _T = AlertState, Transition

TRANSITIONS: dict[tuple[AlertState | None, Transition], AlertState] = {
    (None, _T.SUBMITTED): _S.ACCEPTED,
    (_S.ACCEPTED, _T.PLANNED): _S.EXPANDING,
    (_S.ACCEPTED, _T.HELD): _S.PENDING_APPROVAL,
    (_S.ACCEPTED, _T.REFUSED): _S.REFUSED,
    (_S.ACCEPTED, _T.CANCELLED): _S.CANCELLED,
    (_S.ACCEPTED, _T.EXPIRED): _S.EXPIRED,
    (_S.ACCEPTED, _T.SUPERSEDED): _S.SUPERSEDED,
    (_S.PENDING_APPROVAL, _T.APPROVED): _S.EXPANDING,
    (_S.PENDING_APPROVAL, _T.REJECTED): _S.REFUSED,
    (_S.PENDING_APPROVAL, _T.RETURNED): _S.REFUSED,
    # Nothing of it was sent, so nothing is there to cancel: it is refused (docs/cap.md, L3).
    (_S.PENDING_APPROVAL, _T.CANCELLED): _S.REFUSED,
    (_S.PENDING_APPROVAL, _T.EXPIRED): _S.EXPIRED,
    (_S.PENDING_APPROVAL, _T.SUPERSEDED): _S.SUPERSEDED,
    (_S.EXPANDING, _T.EXPANDED): _S.SENDING,
    # Its groups turned out to be missing or empty.
    (_S.EXPANDING, _T.REFUSED): _S.REFUSED,
    (_S.EXPANDING, _T.CANCELLED): _S.CANCELLED,
    (_S.EXPANDING, _T.EXPIRED): _S.EXPIRED,
    (_S.EXPANDING, _T.SUPERSEDED): _S.SUPERSEDED,
    (_S.SENDING, _T.FINISHED): _S.COMPLETED,
    (_S.SENDING, _T.CANCELLED): _S.CANCELLED,
    (_S.SENDING, _T.EXPIRED): _S.EXPIRED,
    (_S.SENDING, _T.SUPERSEDED): _S.SUPERSEDED,
    # Everybody had it, so it was not cancelled: an Update must still reach them. `stopped_at` ends what may follow.
    (_S.COMPLETED, _T.CANCELLED): _S.COMPLETED,
    (_S.COMPLETED, _T.SUPERSEDED): _S.SUPERSEDED,
    # What a stage had begun before the end arrives after it, and changes nothing.
    (_S.CANCELLED, _T.EXPANDED): _S.CANCELLED,
    (_S.CANCELLED, _T.FINISHED): _S.CANCELLED,
    (_S.CANCELLED, _T.CANCELLED): _S.CANCELLED,
    (_S.EXPIRED, _T.EXPANDED): _S.EXPIRED,
    (_S.EXPIRED, _T.FINISHED): _S.EXPIRED,
    (_S.SUPERSEDED, _T.EXPANDED): _S.SUPERSEDED,
    (_S.SUPERSEDED, _T.FINISHED): _S.SUPERSEDED,
}
"""The next state by (state, transition); None is the state of an alert not yet known. What is absent cannot happen."""


class TransitionError(BroadcastError):
    """A transition that an alert cannot make in its state: `state`, `transition`, and what can."""

    def __init__(self, state: AlertState | None, transition: Transition) -> None:
        self.state, self.transition = state, transition
        possible = ", ".join(other for known, other in TRANSITIONS if known == state) or "nothing"
        super().__init__(f"an alert that is {state or 'not known'} cannot be {transition}; possible is: {possible}")


def next_state(state: AlertState | None, transition: Transition) -> AlertState:
    """The state that follows; raises `TransitionError`."""
    try:
        return TRANSITIONS[state, transition]
    except KeyError:
        raise TransitionError(state, transition) from None


def may_happen(state: AlertState | None, transition: Transition) -> bool:
    """Whether an alert in a state can make a transition."""
    return (state, transition) in TRANSITIONS
