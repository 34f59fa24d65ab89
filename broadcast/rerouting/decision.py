"""Whether a recipient who was reported undelivered gets a new copy now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broadcast.alerts.jobs import NUMBER
from broadcast.audit.coverage import Part, state_of_parts
from broadcast.lifecycle import AlertState
from schemas.job import HIGHEST_ATTEMPT
from schemas.status import DeliveryState


class Decision(StrEnum):
    """What becomes of a recipient who was noted: a new copy, nothing, or a later look."""

    SEND = "send"
    DROP = "drop"
    WAIT = "wait"


BY_STATE: dict[DeliveryState, Decision] = {
    DeliveryState.UNDELIVERED: Decision.SEND,
    DeliveryState.REJECTED: Decision.SEND,
    DeliveryState.EXPIRED: Decision.SEND,
    DeliveryState.QUEUED: Decision.WAIT,
    DeliveryState.DELIVERED: Decision.DROP,
    DeliveryState.SUBMITTED: Decision.DROP,
    DeliveryState.UNKNOWN: Decision.DROP,
    DeliveryState.CANCELLED: Decision.DROP,
    DeliveryState.FAILED: Decision.DROP,
    DeliveryState.SUPPRESSED: Decision.DROP,
}
"""By the state of the recipient. Where a segment is queued the next attempt is on its way, and changes the state."""

SENDING = frozenset({AlertState.EXPANDING, AlertState.SENDING, AlertState.COMPLETED})
"""States of an alert of which something may be sent; completed says only that nobody is queued."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A recipient as they stand in the directory.

    `msisdn` is None for a person who was erased, `suppressed` the reason or None. `claimed_attempt` is the number of a
    new copy that was claimed before, and perhaps written. `other_number`: no attempt was to the `msisdn` of now.
    """

    msisdn: str | None
    suppressed: str | None
    claimed_attempt: int | None = None
    other_number: bool = False


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What an alert says about new copies: its state, its aware expiry, and whether a stop of it is stored."""

    state: AlertState
    expires_at: datetime
    stopped: bool = False


def decide(noted: Noted, alert: AlertFacts, attempts: Sequence[Part], now: datetime) -> Decision:
    """Whether the recipient gets a new copy at the aware instant `now`."""
    if alert.state not in SENDING or alert.stopped or alert.expires_at <= now:
        return Decision.DROP
    if noted.msisdn is None or noted.suppressed is not None or not NUMBER.fullmatch(noted.msisdn):
        return Decision.DROP
    if noted.other_number:
        # Who had this number before may have the message already, without a mark.
        return Decision.DROP
    highest = highest_attempt(attempts)
    if highest >= HIGHEST_ATTEMPT:
        return Decision.DROP
    if noted.claimed_attempt is not None and highest >= noted.claimed_attempt:
        # The copy of which nobody knew whether it was written has an outcome: it was.
        return Decision.DROP
    return BY_STATE[state_of_parts(attempts)]


def highest_attempt(attempts: Sequence[Part]) -> int:
    """The highest number of an attempt; 0 without any."""
    return max((part.attempt for part in attempts), default=0)
