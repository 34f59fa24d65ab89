"""Statuses: one submit result or local outcome each, on `statuses.v1`; and what they say of a recipient."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import compress
from typing import Annotated, NamedTuple

import msgspec

from schemas.bounds import MessageId, Milliseconds, Name, Octet, Reason, Signed64
from schemas.receipt import ReceiptState


class Outcome(StrEnum):
    """What became of one submit, or of a job that was not submitted. Each is counted by itself (`docs/recorder.md`)."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REFUSED_FOR_NOW = "refused_for_now"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Status(msgspec.Struct, omit_defaults=True, gc=False):
    """One submit result or local outcome; key on Kafka: the recipient id in decimal.

    `segment` counts from 1; 0 says the outcome is of the whole message (expired, cancelled, failed before
    any submit; or one submit carried all its segments). `error` is the SMPP command_status as received
    (0: none). `message_id` is normalised by the account's rule. `number_hash` is the keyed signed 64-bit hash of
    the number. Instants are milliseconds since the epoch; `submitted_at` 0 means nothing was written to an SMSC.
    `reason` is for people. `late`: this very submit had been reported as unknown before its answer came.
    `receipt_covers_message`: it is one segment of several, and its account sends one receipt for all of them.
    `bind`, of a test message only, is the bind of the account.
    """

    alert_id: str
    recipient_id: Signed64
    attempt: Annotated[int, msgspec.Meta(ge=1, le=32_767)]
    outcome: Outcome
    segment: Octet = 1
    segments: Annotated[int, msgspec.Meta(ge=1, le=255)] = 1
    account: Name = ""
    message_id: MessageId = ""
    number_hash: Signed64 = 0
    error: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    reason: Reason = ""
    submitted_at: Milliseconds = 0
    at: Milliseconds = 0
    possible_duplicate: bool = False
    late: bool = False
    receipt_covers_message: bool = False
    bind: Name = ""


class DeliveryState(StrEnum):
    """The state of one recipient of one alert. Everything but `queued` is final (`docs/recorder.md`)."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    UNKNOWN = "unknown"


RANKING: tuple[DeliveryState, ...] = (
    DeliveryState.DELIVERED,
    DeliveryState.SUBMITTED,
    DeliveryState.UNKNOWN,
    DeliveryState.UNDELIVERED,
    DeliveryState.REJECTED,
    DeliveryState.EXPIRED,
    DeliveryState.CANCELLED,
    DeliveryState.FAILED,
    DeliveryState.QUEUED,
)
"""Best first. Of several attempts at one segment the best counts; of several segments the worst."""

RANK: dict[DeliveryState, int] = {state: rank for rank, state in enumerate(RANKING)}

STATE_OF_OUTCOME: dict[Outcome, DeliveryState] = {
    Outcome.ACCEPTED: DeliveryState.SUBMITTED,
    Outcome.REFUSED: DeliveryState.REJECTED,
    Outcome.REFUSED_FOR_NOW: DeliveryState.QUEUED,
    Outcome.UNKNOWN: DeliveryState.UNKNOWN,
    Outcome.EXPIRED: DeliveryState.EXPIRED,
    Outcome.CANCELLED: DeliveryState.CANCELLED,
    Outcome.FAILED: DeliveryState.FAILED,
}

STATE_OF_RECEIPT: dict[ReceiptState, DeliveryState] = {
    ReceiptState.ENROUTE: DeliveryState.SUBMITTED,
    ReceiptState.ACCEPTED: DeliveryState.SUBMITTED,
    ReceiptState.DELIVERED: DeliveryState.DELIVERED,
    ReceiptState.EXPIRED: DeliveryState.EXPIRED,
    ReceiptState.DELETED: DeliveryState.UNDELIVERED,
    ReceiptState.UNDELIVERABLE: DeliveryState.UNDELIVERED,
    ReceiptState.REJECTED: DeliveryState.REJECTED,
    ReceiptState.UNKNOWN: DeliveryState.UNKNOWN,
}


def state_of_attempt(outcome: Outcome, receipt: ReceiptState | None) -> DeliveryState:
    """The state that one attempt at one segment supports: its receipt's if it was accepted and has one."""
    if outcome is Outcome.ACCEPTED and receipt is not None:
        return STATE_OF_RECEIPT[receipt]
    return STATE_OF_OUTCOME[outcome]


class Fact(NamedTuple):
    """What the state of a recipient needs of one status; segment 0 speaks of the whole message.

    `at` is when it was submitted, `accepted` whether an SMSC took it, whatever a receipt says since.
    """

    attempt: int
    at: object
    segment: int
    segments: int
    state: DeliveryState
    account: object = None
    accepted: bool = False


def state_of_recipient(attempts: Iterable[Fact]) -> DeliveryState:
    """The state of one recipient from the set of its attempts, in any order, with any repetition.

    A phone joins the segments of one copy only. So: best over the attempts at a segment of a copy, then worst over the
    segments of the copy, then best over the copies and what is said of the whole message; a segment nobody attempted is
    queued. Unknown does not count where the very submit was answered after all.
    """
    facts = list(attempts)
    answered = {(fact[:3], fact.account) for fact in facts if fact.state is not DeliveryState.UNKNOWN}
    counts = [fact.state is not DeliveryState.UNKNOWN or (fact[:3], fact.account) not in answered for fact in facts]
    if len({fact[:2] for fact in facts}) > 1:
        copies = group_copies(facts)
        return RANKING[min(_rank_copy(facts[place] for place in places if counts[place]) for places in copies)]
    return RANKING[_rank_copy(compress(facts, counts))]


def group_copies(facts: Sequence[Fact]) -> list[list[int]]:
    """The places of the facts of each copy, oldest first, and by themselves those of the whole message.

    An attempt at some of the segments only, by the account of the copy before it and at none that this copy has
    accepted at once, is the rest of that copy: the sender sends what is left on the same session. What was accepted
    only after a refusal, or after no answer in time, may be in the rest too. Every other attempt is a copy, though
    perhaps not all of its statuses are there.
    """
    copies: list[list[int]] = []
    attempts: dict[tuple[int, str], list[int]] = {}
    for place, fact in enumerate(facts):
        if fact.segment == 0:
            copies.append([place])
        else:
            attempts.setdefault((fact.attempt, str(fact.account)), []).append(place)
    newest: list[int] | None = None
    for key in sorted(attempts):
        for places in _by_instant(facts, attempts[key]):
            if newest is not None and _is_rest(facts, places, newest):
                newest += places
            else:
                newest = places
                copies.append(newest)
    return copies


def _is_rest(facts: Sequence[Fact], places: list[int], copy: list[int]) -> bool:
    segments = {facts[place].segment for place in places}
    return (
        facts[places[0]].account == facts[copy[0]].account
        and len(segments) < max(facts[place].segments for place in places)
        and segments.isdisjoint(_accepted_at_once(facts, copy))
    )


def _accepted_at_once(facts: Sequence[Fact], copy: list[int]) -> set[int]:
    otherwise = {facts[place][:3] for place in copy if not facts[place].accepted}
    return {facts[place].segment for place in copy if facts[place].accepted and facts[place][:3] not in otherwise}


def _by_instant(facts: Sequence[Fact], places: list[int]) -> list[list[int]]:
    """The copies of one attempt by one account: two where a killed sender had written its segments before.

    Then a segment is there twice, and the instants tell the copies apart. Else they say nothing: the segments of a copy
    may be written one after another.
    """
    if len({facts[place][1:3] for place in places}) == len({facts[place].segment for place in places}):
        return [places]
    together: dict[object, list[int]] = {}
    for place in places:
        together.setdefault(facts[place].at, []).append(place)
    return [together[at] for at in sorted(together, key=str)]


def _rank_copy(facts: Iterable[Fact]) -> int:
    whole = RANK[DeliveryState.QUEUED]
    best: dict[int, int] = {}
    count = 1
    for fact in facts:
        rank = RANK[fact.state]
        if fact.segment == 0:
            whole = min(whole, rank)
        else:
            best[fact.segment] = min(best.get(fact.segment, rank), rank)
            count = max(count, fact.segments)
    return max(min(whole, best.get(segment, whole)) for segment in range(1, count + 1))
