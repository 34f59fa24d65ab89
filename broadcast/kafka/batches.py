"""Whole batches of records: filled for a producer, and decoded after they were read."""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be written; without `partition` the key decides."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


async def write_records(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Write records, and return when all in-sync replicas have every one; raises what the producer raises."""
    await asyncio.gather(*[await send_record(producer, record) for record in records])


async def send_record(producer: AIOKafkaProducer, record: Record) -> "asyncio.Future[object]":
    """Hand one record to a producer; the future is done when all in-sync replicas have it."""
    confirmed: asyncio.Future[object] = await producer.send(
        record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
    )
    return confirmed


KeyValue = tuple[bytes, bytes]
"""Key and value of a record: plain pairs, because there is one for every message sent."""

Batch = Any
"""A BatchBuilder of aiokafka, of the very producer that sends it."""

T = TypeVar("T")


class Readable(Protocol):
    """A record that has a value, whichever client read it."""

    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Readable)

UNREADABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises at a value that is not of its kind."""

_UNREADABLE_TOGETHER: tuple[type[Exception], ...] = (*UNREADABLE, TypeError)


def fill_batches(make_batch: Callable[[], Batch], records: Iterable[KeyValue], timestamp: int) -> list[Batch]:
    """Records of one partition in as few batches as hold them; the timestamp in milliseconds since the epoch."""
    batches: list[Batch] = []
    append: Callable[..., Any] = _refuse
    for key, value in records:
        if append(timestamp=timestamp, key=key, value=value, headers=[]) is None:
            batch = make_batch()
            batches.append(batch)
            append = batch.append
            append(timestamp=timestamp, key=key, value=value, headers=[])
    return batches


def _refuse(**_: object) -> None:
    # What a full batch answers: so the first record opens a batch like every one that finds no room.
    return None


async def send_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[KeyValue], timestamp: int
) -> list["asyncio.Future[Any]"]:
    """Hand records to a producer in as few batches as hold them; one future for each batch.

    The timestamp is in milliseconds since the epoch.
    """
    batches = fill_batches(producer.create_batch, records, timestamp)
    return [await producer.send_batch(batch, topic, partition=partition) for batch in batches]


class Poison(NamedTuple, Generic[R]):
    """A record that cannot be read, and why, in words for people."""

    record: R
    error: str


class Decoded(NamedTuple, Generic[T, R]):
    """Values, the records that they were read from, one for each, and the records that cannot be read."""

    values: list[T]
    records: Sequence[R]
    poison: list[Poison[R]]


class RecordDecoder(Generic[T]):
    """Decodes records whose values are JSON of one kind: all at once, singly only where one is poison."""

    def __init__(self, kind: type[T]) -> None:
        # Between two records stands a number that no writer of records knows: where each comes out between two values,
        # no value begins in one record and ends in another.
        mark = secrets.randbelow(9 * 10**8) + 10**8
        self._one: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._many: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[kind | Literal[mark]])  # type: ignore[valid-type]
        self._mark: Final = mark
        self._between: Final = b",%d," % mark

    def decode(self, records: Sequence[R]) -> Decoded[T, R]:
        """The values of records, in their order."""
        if not records:
            return Decoded([], records, [])
        parts = [record.value for record in records]
        try:
            # One copy of the whole less than with brackets around what is joined.
            parts[0] = b"[" + parts[0]  # type: ignore[operator]
            parts[-1] += b"]"  # type: ignore[operator]
            values = self._many.decode(self._between.join(parts))  # type: ignore[arg-type]
        except _UNREADABLE_TOGETHER:
            return self.decode_singly(records)
        count = len(records)
        if len(values) != 2 * count - 1 or values[1::2].count(self._mark) != count - 1:
            return self.decode_singly(records)
        del values[1::2]
        return Decoded(values, records, [])

    def decode_singly(self, records: Sequence[R]) -> Decoded[T, R]:
        """The same, one by one."""
        values: list[T] = []
        kept: list[R] = []
        poison: list[Poison[R]] = []
        for record in records:
            if record.value is None:
                poison.append(Poison(record, "value is null; a JSON object is needed"))
                continue
            try:
                values.append(self._one.decode(record.value))
            except UNREADABLE as error:
                poison.append(Poison(record, f"value cannot be read: {error}"))
            else:
                kept.append(record)
        return Decoded(values, kept, poison)
