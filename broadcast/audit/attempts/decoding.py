"""Statuses and receipts out of raw records, whole batches at once; what cannot be read is set apart, not lost."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from broadcast.audit.evidence.chain import Record
from broadcast.clock import instant_of
from broadcast.kafka import batches
from broadcast.kafka.batches import Decoded, RecordDecoder
from schemas.bounds import YEAR_10000
from schemas.receipt import Receipt
from schemas.status import Status

ALERT_ID_LENGTH = 36

T = TypeVar("T", Status, Receipt)

Poison: TypeAlias = batches.Poison[Record]


class Read(NamedTuple, Generic[T]):
    """Readable values in the order of their records, the instants of those records (`instant_of`), and the rest."""

    values: list[T]
    timestamps: list[int]
    poison: list[Poison]


class Unreadable(NamedTuple):
    """A delivery that nobody could read (`Receipt.raw`), with its record's offset and when it was received."""

    offset: int
    received_at: int
    receipt: Receipt


class ReadReceipts(NamedTuple):
    """Receipts that name a message, the instants of their records, poison, and deliveries that nobody could read."""

    values: list[Receipt]
    timestamps: list[int]
    poison: list[Poison]
    unreadable: list[Unreadable]


def _instants(timestamps: list[int]) -> list[int]:
    if not timestamps or (min(timestamps) >= 0 and max(timestamps) < YEAR_10000):
        return timestamps
    return list(map(instant_of, timestamps))


_statuses = RecordDecoder(Status)
_receipts = RecordDecoder(Receipt)


def is_alert_id(text: str) -> bool:
    """True if it is a UUID in its usual form."""
    # By its length first: what is cached stays in memory.
    return len(text) == ALERT_ID_LENGTH and _is_uuid(text)


@lru_cache(maxsize=4096)
def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def read_statuses(records: Sequence[Record]) -> Read[Status]:
    """The statuses of records; an alert id that is no UUID is poison too."""
    decoded = _statuses.decode(records)
    if all(map(is_alert_id, {status.alert_id for status in decoded.values})):
        return _read(decoded)
    statuses: list[Status] = []
    kept: list[Record] = []
    poison = decoded.poison
    for record, status in zip(decoded.records, decoded.values, strict=True):
        if is_alert_id(status.alert_id):
            statuses.append(status)
            kept.append(record)
        else:
            poison.append(Poison(record, f"alert_id: {status.alert_id[:80]!r} is not a UUID"))
    return _read(Decoded(statuses, kept, poison))


def read_receipts(records: Sequence[Record]) -> ReadReceipts:
    """The receipts of records."""
    decoded = _receipts.decode(records)
    read = _read(decoded)
    if not any([receipt.raw is not None for receipt in read.values]):  # noqa: C419 (a third of a generator's time)
        return ReadReceipts(*read, [])
    readable = [place for place, receipt in enumerate(read.values) if receipt.raw is None]
    return ReadReceipts(
        [read.values[place] for place in readable],
        [read.timestamps[place] for place in readable],
        read.poison,
        [
            Unreadable(record.offset, receipt.received_at or at, receipt)
            for record, at, receipt in zip(decoded.records, read.timestamps, read.values, strict=True)
            if receipt.raw is not None
        ],
    )


def _read(decoded: Decoded[T, Record]) -> Read[T]:
    return Read(decoded.values, _instants([record.timestamp for record in decoded.records]), decoded.poison)
