"""Statuses and receipts out of raw records, whole batches at once; what cannot be read is set apart, not lost."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from broadcast.audit.evidence.chain import Record
from schemas.receipt import YEAR_10000, Receipt
from schemas.status import Status

T = TypeVar("T", Status, Receipt)

UNREADABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises at a value that is not of its kind."""

_UNREADABLE_TOGETHER: tuple[type[Exception], ...] = (*UNREADABLE, TypeError)


class Poison(NamedTuple):
    """A record that cannot be read, and why, in words for people."""

    record: Record
    error: str


class Read(NamedTuple, Generic[T]):
    """Readable values in the order of their records, the instants of those records (`instant_of`), and the rest."""

    values: list[T]
    timestamps: list[int]
    poison: list[Poison]


def instant_of(timestamp: int) -> int:
    """A record's timestamp, or the nearest that can be stored: a broker takes any number that is not far ahead."""
    return min(max(timestamp, 0), YEAR_10000 - 1)


def _instants(timestamps: list[int]) -> list[int]:
    if not timestamps or (min(timestamps) >= 0 and max(timestamps) < YEAR_10000):
        return timestamps
    return list(map(instant_of, timestamps))


class _Reader(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self._one: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._many: msgspec.json.Decoder[list[T]] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def read(self, records: Sequence[Record]) -> Read[T]:
        try:
            values = self._many.decode(b"[" + b",".join([record.value for record in records]) + b"]")  # type: ignore[misc]
        except _UNREADABLE_TOGETHER:
            return self._read_singly(records)
        if len(values) != len(records):  # one value held two, so another may have held none
            return self._read_singly(records)
        return Read(values, _instants([record.timestamp for record in records]), [])

    def _read_singly(self, records: Sequence[Record]) -> Read[T]:
        read: Read[T] = Read([], [], [])
        for record in records:
            if record.value is None:
                read.poison.append(Poison(record, "value is null; a JSON object is needed"))
                continue
            try:
                value = self._one.decode(record.value)
            except UNREADABLE as error:
                read.poison.append(Poison(record, f"value cannot be read: {error}"))
                continue
            read.values.append(value)
            read.timestamps.append(instant_of(record.timestamp))
        return read


_statuses = _Reader(Status)
_receipts = _Reader(Receipt)


@lru_cache(maxsize=4096)
def is_alert_id(text: str) -> bool:
    """True if it is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def read_statuses(records: Sequence[Record]) -> Read[Status]:
    """The statuses of records; an alert id that is no UUID is poison too."""
    read = _statuses.read(records)
    if all(map(is_alert_id, {status.alert_id for status in read.values})):
        return read
    read = _statuses._read_singly(records)
    kept: Read[Status] = Read([], [], read.poison)
    refused = {id(poison.record) for poison in read.poison}
    readable = [record for record in records if id(record) not in refused]
    for record, status in zip(readable, read.values, strict=True):
        if is_alert_id(status.alert_id):
            kept.values.append(status)
            kept.timestamps.append(instant_of(record.timestamp))
        else:
            kept.poison.append(Poison(record, f"alert_id: {status.alert_id[:80]!r} is not a UUID"))
    return kept


def read_receipts(records: Sequence[Record]) -> Read[Receipt]:
    """The receipts of records."""
    return _receipts.read(records)
