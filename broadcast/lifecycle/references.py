"""What happens to an alert that an Update or a Cancel names: by where it stands, as one literal table. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from broadcast.lifecycle.states import LIVE_STATES, AlertState
from schemas.alert import Alert, MsgType, Reference, Status


@dataclass(frozen=True, slots=True)
class Successor:
    """The Update that stands in the place of an alert. `stopped`: no copy of it is sent again."""

    alert_id: UUID
    reference: Reference
    state: AlertState
    stopped: bool

    @property
    def live(self) -> bool:
        """Whether a Cancel of it would still stop something."""
        return self.state in LIVE_STATES and not self.stopped


@dataclass(frozen=True, slots=True)
class Known:
    """An alert that a reference names. Its `alert_id` may come from an Idempotency-Key, not from the reference.

    `replaced_at` is the CAP `sent` of the Update that superseded it; `successors` are the Updates that stand in its
    place and that no other has replaced.
    """

    alert_id: UUID
    reference: Reference
    state: AlertState
    status: Status
    replaced_at: datetime | None = None
    successors: tuple[Successor, ...] = ()


class Standing(StrEnum):
    """Where an alert that is named stands, seen from the message that names it."""

    ANOTHER_SENDER = "another_sender"
    ANOTHER_STATUS = "another_status"
    SENT_LATER = "sent_later"
    REPLACED_LATER = "replaced_later"
    REPLACED_LIVE = "replaced_live"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PENDING_APPROVAL = "pending_approval"
    EXPANDING = "expanding"
    SENDING = "sending"
    COMPLETED = "completed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


class Effect(StrEnum):
    """What follows for the message, and for the alert that it names.

    `withdraw`: the alert is stopped. `nothing`: there is nothing left to stop. `remember`: if the alert comes later, it
    is not sent. `hold`: the message is refused, unless another of its references is withdrawn. `miss`: the message is
    refused, unless another of its references is known. `refuse`: the message is refused.
    """

    WITHDRAW = "withdraw"
    NOTHING = "nothing"
    REMEMBER = "remember"
    HOLD = "hold"
    MISS = "miss"
    REFUSE = "refuse"


_S, _E, _U, _C = Standing, Effect, MsgType.UPDATE, MsgType.CANCEL

EFFECTS: dict[tuple[Standing, MsgType], Effect] = {
    (_S.ANOTHER_SENDER, _U): _E.REFUSE,
    (_S.ANOTHER_SENDER, _C): _E.REFUSE,
    (_S.ANOTHER_STATUS, _U): _E.REFUSE,
    (_S.ANOTHER_STATUS, _C): _E.REFUSE,
    (_S.SENT_LATER, _U): _E.REFUSE,
    (_S.REPLACED_LATER, _U): _E.REFUSE,
    # Nobody was sent it here; the Update is in force, and people have to hear of it.
    (_S.UNKNOWN, _U): _E.REMEMBER,
    (_S.UNKNOWN, _C): _E.MISS,
    (_S.ACCEPTED, _U): _E.WITHDRAW,
    (_S.ACCEPTED, _C): _E.WITHDRAW,
    (_S.PENDING_APPROVAL, _U): _E.WITHDRAW,
    (_S.PENDING_APPROVAL, _C): _E.WITHDRAW,
    (_S.EXPANDING, _U): _E.WITHDRAW,
    (_S.EXPANDING, _C): _E.WITHDRAW,
    (_S.SENDING, _U): _E.WITHDRAW,
    (_S.SENDING, _C): _E.WITHDRAW,
    (_S.COMPLETED, _U): _E.WITHDRAW,
    (_S.COMPLETED, _C): _E.WITHDRAW,
    (_S.REFUSED, _U): _E.NOTHING,
    (_S.REFUSED, _C): _E.NOTHING,
    # Somebody stopped it on purpose: a person decides whether people are to get more of it.
    (_S.CANCELLED, _U): _E.HOLD,
    (_S.CANCELLED, _C): _E.NOTHING,
    (_S.EXPIRED, _U): _E.NOTHING,
    (_S.EXPIRED, _C): _E.NOTHING,
    # A Cancel stops nothing that it does not name. Its sender believes that nobody is sent anything any more.
    (_S.REPLACED_LIVE, _C): _E.HOLD,
    # What replaced it is not named, and may be for other people: it stays.
    (_S.SUPERSEDED, _U): _E.NOTHING,
    (_S.SUPERSEDED, _C): _E.NOTHING,
}
"""The effect by (standing of the alert that is named, msgType of the message)."""


def standing_of(alert: Alert, reference: Reference, known: Known | None) -> Standing:
    """Where the alert that a reference of `alert` names stands; `known` is None if it is not here."""
    if reference.sender != alert.sender:
        return Standing.ANOTHER_SENDER
    if known is not None and known.status is not alert.status:
        return Standing.ANOTHER_STATUS
    if alert.msg_type is MsgType.UPDATE and reference.sent > alert.sent:
        return Standing.SENT_LATER
    if known is None:
        return Standing.UNKNOWN
    if alert.msg_type is MsgType.UPDATE and known.replaced_at is not None and known.replaced_at > alert.sent:
        return Standing.REPLACED_LATER
    if alert.msg_type is MsgType.CANCEL and known.state is AlertState.SUPERSEDED:
        return Standing.REPLACED_LIVE if any(each.live for each in known.successors) else Standing.SUPERSEDED
    return Standing(known.state.value)
