"""One batch of statuses and receipts into PostgreSQL, in one transaction."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg

from broadcast.audit.attempts.copy_format import COLUMNS, HEADER, TRAILER
from broadcast.audit.attempts.counters import add_to_counters, count_carefully
from broadcast.audit.attempts.decoding import Poison, Read, read_receipts, read_statuses
from broadcast.audit.attempts.joining import delete_parked, join, park
from broadcast.audit.attempts.receipts import Heard, gather, merge
from broadcast.audit.attempts.rows import Booking, Deltas, Recipient, Took, book
from broadcast.audit.errors import AmbiguousError, StaleError
from broadcast.audit.evidence.chain import Record
from broadcast.audit.evidence.segments import Position, Segment, add_segments
from schemas.status import Status

_COPY_BYTES = 256 * 1024
"""A message of COPY: large enough to be few, small enough not to be held twice."""

_TRIES = 20

TRANSIENT: tuple[type[BaseException], ...] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)


@dataclass(slots=True)
class Batch:
    """Decoded records of both topics: one segment a partition, statuses by segment id, receipts by their match."""

    segments: list[Segment] = field(default_factory=list)
    statuses: list[tuple[int, Read[Status]]] = field(default_factory=list)
    receipts: dict[int, Heard] = field(default_factory=dict)
    poison: list[tuple[str, int, Poison]] = field(default_factory=list)
    records: int = 0
    heard: int = 0
    oldest_at: int = 0

    def add_statuses(self, segment_id: int, position: Position, records: Sequence[Record], to_offset: int) -> Position:
        """Add what was read from one partition of statuses; the position after it."""
        read = read_statuses(records)
        self.statuses.append((segment_id, read))
        return self._add(segment_id, position, records, to_offset, read.poison)

    def add_receipts(self, segment_id: int, position: Position, records: Sequence[Record], to_offset: int) -> Position:
        """Add what was read from one partition of receipts; the position after it."""
        read = read_receipts(records)
        gather(read.values, read.timestamps, segment_id, self.receipts)
        self.heard += len(read.values)
        return self._add(segment_id, position, records, to_offset, read.poison)

    def _add(
        self, segment_id: int, position: Position, records: Sequence[Record], to_offset: int, poison: Sequence[Poison]
    ) -> Position:
        segment, position = position.extend(segment_id, records, to_offset)
        self.segments.append(segment)
        self.poison += [(position.topic, position.partition, one) for one in poison]
        self.records += len(records)
        self.oldest_at = min(self.oldest_at or records[0].timestamp, records[0].timestamp)
        return position


@dataclass(slots=True)
class Recorded:
    """What one batch did, for metrics: attempts written, receipts read, parked, and how the others met their attempt.

    `matched` came after their status and `early` did not; `repeated` are those that were not the first.
    """

    attempts: int = 0
    receipts: int = 0
    parked: int = 0
    matched: Took = field(default_factory=dict)
    early: Took = field(default_factory=dict)
    repeated: Counter[tuple[int | None, int]] = field(default_factory=Counter)
    deltas: Deltas = field(default_factory=Counter)


class Parked:
    """The newest parked receipts in memory, so that the attempt that follows need not be looked for. Bounded.

    What is forgotten here is still in the table, and the sweep joins it.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self.limit = limit
        self.heard: dict[int, Heard] = {}

    def add(self, unmatched: Iterable[Heard]) -> None:
        """Remember these, and forget the oldest beyond the limit."""
        for one in unmatched:
            match = one.message_key ^ one.number_hash
            known = self.heard.get(match)
            self.heard[match] = one if known is None else merge(known, one)
        for match in list(self.heard)[: max(0, len(self.heard) - self.limit)]:
            del self.heard[match]


async def ensure_accounts(connection: asyncpg.Connection, names: Iterable[str], known: dict[str, int]) -> None:
    """Have a number for every account's name in `known`."""
    missing = sorted(set(names) - known.keys() - {""})
    if not missing:
        return
    await connection.execute(
        "INSERT INTO accounts (name) SELECT n FROM unnest($1::text[]) AS t(n) "
        "WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.name = n) ON CONFLICT DO NOTHING",
        missing,
    )
    rows = await connection.fetch("SELECT id, name FROM accounts WHERE name = ANY ($1::text[])", missing)
    known.update({row["name"]: row["id"] for row in rows})


async def record(
    connection: asyncpg.Connection,
    batch: Batch,
    *,
    parked: Parked,
    accounts: dict[str, int],
    shard: int,
    trusting: bool,
) -> Recorded:
    """Write a batch: evidence, attempts, receipts, counters. Tries again when recorders stand in each other's way.

    Raises `FencedError` if another recorder owns the partition, `StaleError` if `parked` is out of date, and what
    asyncpg raises when the server goes away; then it is open whether the batch was written.
    """
    names = {status.account for _, read in batch.statuses for status in read.values}
    await ensure_accounts(connection, (name.replace("\0", "") for name in names), accounts)
    booking = Booking()
    for evidence_id, read in batch.statuses:
        book(
            booking,
            read.values,
            read.timestamps,
            evidence_id,
            accounts=accounts,
            fresh=batch.receipts,
            parked=parked.heard,
            trusting=trusting,
        )
    heard = list(batch.receipts.values())
    exact = False
    for tries in range(_TRIES):
        try:
            recorded, unmatched = await _write(connection, batch.segments, booking, heard, shard, exact=exact)
        except AmbiguousError:
            exact = True
        except TRANSIENT:
            if tries == _TRIES - 1:
                raise
        else:
            parked.add(unmatched)
            recorded.receipts = batch.heard
            return recorded
    raise StaleError(f"batch not written in {_TRIES} tries")


async def _write(
    connection: asyncpg.Connection,
    segments: Sequence[Segment],
    booking: Booking,
    heard: Sequence[Heard],
    shard: int,
    *,
    exact: bool,
) -> tuple[Recorded, list[Heard]]:
    async with connection.transaction():
        await add_segments(connection, segments)
        if not await delete_parked(connection, booking.taken):
            raise StaleError("a parked receipt was joined by another recorder")
        if booking.rows:
            await connection.copy_to_table("attempts", source=_rows(booking.pieces), columns=COLUMNS, format="binary")
        joined = await join(connection, heard, exact=exact)
        await park(connection, joined.unmatched)
        deltas: Deltas = Counter(booking.deltas)
        deltas.update(joined.deltas)
        careful: set[Recipient] = booking.careful | joined.careful
        if careful:
            own = {segment.id for segment in segments}
            deltas.update(await count_carefully(connection, careful, own, joined.before))
        await add_to_counters(connection, shard, deltas)
    recorded = Recorded(
        attempts=booking.rows,
        parked=len(joined.unmatched),
        matched=joined.took,
        early=booking.took,
        repeated=joined.repeated,
        deltas=deltas,
    )
    return recorded, joined.unmatched


async def _rows(pieces: list[bytes]) -> AsyncIterator[bytes]:
    joined = b"".join((HEADER, *pieces, TRAILER))
    for start in range(0, len(joined), _COPY_BYTES):
        yield joined[start : start + _COPY_BYTES]
