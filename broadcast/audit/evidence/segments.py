"""Evidence in PostgreSQL: where each partition's evidence ends, and adding to it. It is the recorder's offset store."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from broadcast.audit.errors import StaleError
from broadcast.audit.evidence.chain import GENESIS, RawRecord, Record, digest_of, pack, unpack
from broadcast.database import Connection
from broadcast.errors import FencedError

_END = """
SELECT epoch, to_offset, digest, (
    SELECT records FROM evidence full_one WHERE full_one.topic = $1 AND full_one.partition = $2
        AND full_one.epoch = newest.epoch AND full_one.count > 0 ORDER BY from_offset DESC LIMIT 1
) AS records
FROM evidence newest WHERE topic = $1 AND partition = $2 ORDER BY epoch DESC, from_offset DESC LIMIT 1
"""

_IDS_AT_ONCE = 1000
_READ_AT_ONCE = 100
_FEW_RECORDS = 1000
"""Segments with more are read one by one, so that few are in memory."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One evidence segment: records read from offset `from_offset` until before `to_offset`.

    Without records it says that these offsets hold none: the ends of transactions, and what was aborted.
    """

    id: int
    topic: str
    partition: int
    epoch: int
    from_offset: int
    to_offset: int
    count: int
    packed: bytes
    previous: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition's evidence ends: the next offset, the digest to chain to, the last record it holds."""

    topic: str
    partition: int
    epoch: int = 0
    offset: int = 0
    digest: bytes = GENESIS
    last: RawRecord | None = None

    def extend(self, segment_id: int, records: Sequence[Record], to_offset: int) -> tuple[Segment, "Position"]:
        """The segment of these records, and the position after it. `to_offset` may lie beyond the last record."""
        packed = pack(records)
        place = (self.topic, self.partition, self.epoch, self.offset, to_offset, len(records))
        digest = digest_of(self.digest, place, packed)
        segment = Segment(segment_id, *place, packed, self.digest, digest)
        last = self.last
        if records:
            record = records[-1]
            last = RawRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
        return segment, Position(self.topic, self.partition, self.epoch, to_offset, digest, last)


def is_same_record(recorded: RawRecord, found: Record | None) -> bool:
    """True if Kafka still holds the record that evidence holds."""
    return (
        found is not None
        and (found.offset, found.timestamp) == (recorded.offset, recorded.timestamp)
        and (found.key, found.value) == (recorded.key, recorded.value)
    )


async def read_positions(
    connection: asyncpg.Connection, partitions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Position]:
    """Where the evidence of each partition ends; a partition without any starts at 0 in epoch 0."""
    positions = {}
    for topic, partition in partitions:
        row = await connection.fetchrow(_END, topic, partition)
        if row is None:
            positions[topic, partition] = Position(topic, partition)
        else:
            last = unpack(row["records"])[-1] if row["records"] else None
            positions[topic, partition] = Position(
                topic, partition, row["epoch"], row["to_offset"], row["digest"], last
            )
    return positions


async def read_records(connection: Connection, segment_id: int) -> list[RawRecord]:
    """The records of one segment, as they were read from Kafka."""
    return unpack(await connection.fetchval("SELECT records FROM evidence WHERE id = $1", segment_id))


async def read_each(
    connection: Connection, segment_ids: Sequence[int], most_records: int
) -> AsyncIterator[list[RawRecord]]:
    """The records of each segment, in this order, until so many are read.

    The segment that reaches `most_records` is the last. Others may run between two segments.
    """
    for first in range(0, len(segment_ids), _READ_AT_ONCE):
        ids = segment_ids[first : first + _READ_AT_ONCE]
        found = await connection.fetch("SELECT id, count FROM evidence WHERE id = ANY ($1::bigint[])", ids)
        counts: dict[int, int] = {row["id"]: row["count"] for row in found}
        few = [one for one in ids if counts.get(one, 0) <= _FEW_RECORDS]
        found = await connection.fetch("SELECT id, records FROM evidence WHERE id = ANY ($1::bigint[])", few)
        packed: dict[int, bytes] = {row["id"]: row["records"] for row in found}
        for segment in ids:
            yield unpack(packed[segment]) if segment in packed else await read_records(connection, segment)
            most_records -= counts.get(segment, 0)
            if most_records <= 0:
                return
            await asyncio.sleep(0)


async def add_segments(connection: asyncpg.Connection, segments: Sequence[Segment]) -> None:
    """Write segments, inside the caller's transaction, each only if it continues the last one of its partition.

    Raises `FencedError` if another writer was faster, `StaleError` if what came before them is gone: a server that
    crashed has lost its last commits.
    """
    ordered = sorted(segments, key=lambda segment: (segment.topic, segment.partition))
    try:
        written = await connection.execute(
            """
            INSERT INTO evidence
                (id, topic, partition, epoch, from_offset, to_offset, count, records, previous, digest)
            SELECT given.* FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::bigint[],
                $6::bigint[], $7::integer[], $8::bytea[], $9::bytea[], $10::bytea[])
                AS given (id, topic, partition, epoch, from_offset, to_offset, count, records, previous, digest)
            WHERE given.previous = coalesce((
                SELECT last.digest FROM evidence last
                WHERE last.topic = given.topic AND last.partition = given.partition
                ORDER BY last.epoch DESC, last.from_offset DESC LIMIT 1
            ), $11::bytea)
            """,
            [segment.id for segment in ordered],
            [segment.topic for segment in ordered],
            [segment.partition for segment in ordered],
            [segment.epoch for segment in ordered],
            [segment.from_offset for segment in ordered],
            [segment.to_offset for segment in ordered],
            [segment.count for segment in ordered],
            [segment.packed for segment in ordered],
            [segment.previous for segment in ordered],
            [segment.digest for segment in ordered],
            GENESIS,
        )
    except asyncpg.UniqueViolationError as error:
        raise _fenced(str(error.detail)) from error
    if written == f"INSERT 0 {len(ordered)}":
        return
    for segment in ordered:
        taken = await connection.fetchval(
            "SELECT id FROM evidence "
            "WHERE topic = $1 AND partition = $2 AND epoch = $3 AND from_offset = $4 AND id <> $5",
            segment.topic,
            segment.partition,
            segment.epoch,
            segment.from_offset,
            segment.id,
        )
        if taken is not None:
            raise _fenced(f"{segment.topic}/{segment.partition} offset {segment.from_offset}")
    raise StaleError("the evidence does not end where this recorder left it")


def _fenced(where: str) -> FencedError:
    return FencedError(
        f"evidence: another recorder has written this segment ({where}); "
        "this one ends, so that only one owns the partition"
    )


class SegmentIds:
    """Ids of evidence segments, reserved in PostgreSQL many at a time: a batch is built before its transaction.

    They are unique; their order has no meaning.
    """

    def __init__(self) -> None:
        self._left: list[int] = []

    async def reserve(self, connection: asyncpg.Connection, count: int) -> None:
        """Have at least `count` ids ready to take."""
        if len(self._left) < count:
            rows = await connection.fetch(
                "SELECT nextval(pg_get_serial_sequence('evidence', 'id')) AS id FROM generate_series(1, $1)",
                max(count, _IDS_AT_ONCE),
            )
            self._left.extend(row["id"] for row in reversed(rows))

    def take(self) -> int:
        """One id that was reserved."""
        return self._left.pop()
