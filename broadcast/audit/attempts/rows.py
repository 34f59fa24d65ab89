"""From the statuses of a batch to rows of `attempts` and changes of counters. Pure, and the recorder's hottest loop."""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field

from broadcast.audit.attempts.copy_format import (
    NO_REASON,
    NO_RECEIPT,
    alert_part,
    reason_part,
    receipt_part,
    shared_part,
    unusual_part,
    usual_part,
)
from broadcast.audit.attempts.receipts import Heard, merge
from broadcast.audit.codes import CODE_OF_STATE, STATE_CODE_OF_RECEIPT
from broadcast.audit.keys import message_key
from schemas.status import STATE_OF_OUTCOME, Outcome, Status

Recipient = tuple[str, int]
"""Alert id and recipient id."""

Took = dict[tuple[int | None, int], list[int]]
"""Milliseconds from submits to their receipts, by the account's number and the receipt's code."""

Deltas = Counter[tuple[str, int]]
"""Changes of counters, by alert id and code of state. Queued has none: it is what the others leave of the audience."""

SIMPLE_OUTCOMES = frozenset({Outcome.ACCEPTED, Outcome.REFUSED, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.FAILED})
"""Outcomes after which nothing is tried again."""


@dataclass(slots=True)
class _Shape:
    """What the rows of statuses alike share, and how many there are."""

    alert: bytes
    shared: bytes
    account: int | None
    simple: bool
    state: int
    count: int = 0


@dataclass(slots=True)
class Booking:
    """What one batch of statuses does to the tables.

    `pieces` joined are rows for COPY; `deltas` are those of recipients that have just this one attempt; `careful`
    are the others, whose state must be found from all their attempts; `taken` are parked receipts that were joined,
    `took` is of every receipt that did not come after its status.
    """

    pieces: list[bytes] = field(default_factory=list)
    rows: int = 0
    deltas: Deltas = field(default_factory=Counter)
    careful: set[Recipient] = field(default_factory=set)
    taken: list[Heard] = field(default_factory=list)
    took: Took = field(default_factory=dict)


def is_simple(status: Status) -> bool:
    """True if its recipient was queued before and has no other attempt: first, in time, whole, not tried again."""
    return (
        status.attempt == 1
        and status.segment == 1
        and status.segments == 1
        and not status.possible_duplicate
        and not status.late
        and status.outcome in SIMPLE_OUTCOMES
    )


def book(
    booking: Booking,
    statuses: Iterable[Status],
    timestamps: Iterable[int],
    evidence_id: int,
    *,
    accounts: Mapping[str, int],
    fresh: MutableMapping[int, Heard],
    parked: MutableMapping[int, Heard],
    trusting: bool,
) -> None:
    """Add the statuses of one evidence segment to `booking`.

    Receipts that came first are taken out of `fresh` (this batch's) and `parked`. `timestamps` are those of the
    Kafka records. Not `trusting` (Kafka once lost its tail, so any job may have been done twice): nobody is simple.
    """
    shapes: dict[tuple[object, ...], _Shape] = {}
    heard_of: dict[tuple[str, int], int] = {}
    early = bool(fresh or parked)
    pieces = booking.pieces
    for status, timestamp in zip(statuses, timestamps, strict=True):
        alike = (
            status.alert_id,
            status.account,
            status.outcome,
            status.attempt,
            status.segment,
            status.segments,
            status.possible_duplicate,
            status.error,
            status.late,
        )
        shape = shapes.get(alike)
        if shape is None:
            simple = trusting and is_simple(status)
            account = accounts.get(status.account.replace("\0", ""))
            shape = shapes[alike] = _Shape(
                alert_part(status.alert_id),
                shared_part(status, evidence_id, account, alone=simple),
                account,
                simple,
                CODE_OF_STATE[STATE_OF_OUTCOME[status.outcome]],
            )
        shape.count += 1
        if not shape.simple:
            booking.careful.add((status.alert_id, status.recipient_id))
        key = None
        if status.message_id and status.outcome is Outcome.ACCEPTED:  # no other outcome can have a receipt
            key = message_key(status.account, status.message_id)
        answered_at = status.at or timestamp
        part = usual_part if key is not None and status.submitted_at else unusual_part
        pieces.append(
            part(shape.alert, status.recipient_id, key, status.number_hash, status.submitted_at, answered_at)  # type: ignore[arg-type]
        )
        pieces.append(shape.shared)
        pieces.append(reason_part(status.reason) if status.reason else NO_REASON)
        heard = None
        if early and key is not None:
            heard = _take(key ^ status.number_hash, fresh, parked, booking)
        if heard is None:
            pieces.append(NO_RECEIPT)
            continue
        pieces.append(receipt_part(heard))
        booking.took.setdefault((shape.account, heard.code), []).append(
            heard.received_at - (status.submitted_at or heard.received_at)
        )
        if shape.simple and status.outcome is Outcome.ACCEPTED:
            shape.count -= 1
            heard_of[status.alert_id, heard.code] = heard_of.get((status.alert_id, heard.code), 0) + 1
    for (alert_id, *_), shape in shapes.items():
        if shape.simple:
            booking.deltas[str(alert_id), shape.state] += shape.count
    for (heard_alert, code), count in heard_of.items():
        booking.deltas[heard_alert, STATE_CODE_OF_RECEIPT[code]] += count
    booking.rows = len(pieces) // 4


def _take(
    match: int, fresh: MutableMapping[int, Heard], parked: MutableMapping[int, Heard], booking: Booking
) -> Heard | None:
    from_parked = parked.pop(match, None)
    heard = fresh.pop(match, None)
    if from_parked is None:
        return heard
    booking.taken.append(from_parked)
    if heard is None:
        return from_parked
    return merge(from_parked, heard)
