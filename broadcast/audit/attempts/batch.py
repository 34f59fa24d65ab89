"""One batch of statuses and receipts into PostgreSQL, in one transaction."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import asyncpg

from broadcast.audit.attempts.accounts import number_accounts
from broadcast.audit.attempts.copy_format import COLUMNS, HEADER, TRAILER
from broadcast.audit.attempts.counters import add_to_counters, lock_and_recount
from broadcast.audit.attempts.decoding import Poison, Read, Unreadable, read_receipts, read_statuses
from broadcast.audit.attempts.joining import delete_parked, join, park
from broadcast.audit.attempts.receipts import MergedReceipt, ParkedCache, merge_receipts
from broadcast.audit.attempts.rows import AttemptRows, Latencies, Recipient, add_statuses
from broadcast.audit.chunk_states.chunk_ends import ChunkEnds
from broadcast.audit.chunk_states.moves import merge_moves
from broadcast.audit.completed import alarm_after_completion
from broadcast.audit.errors import AmbiguousError, StaleError
from broadcast.audit.evidence.chain import Record
from broadcast.audit.evidence.segments import Position, Segment, add_segments
from broadcast.audit.outcomes.outcome_counts import OutcomeCounts, add_outcomes
from broadcast.audit.undelivered import OtherRoutes, note_undelivered, number_routes
from broadcast.database.pool import TRANSIENT
from schemas.status import Status

_COPY_BYTES = 256 * 1024
"""A message of COPY: large enough to be few, small enough not to be held twice."""

_TRIES = 20

NONE_REFUSED: Mapping[int, str] = MappingProxyType({})


@dataclass(slots=True)
class Batch:
    """Decoded records of both topics: one segment a partition, statuses by segment id, receipts by their match.

    `receipt_count` counts receipts before they were merged; `oldest_at` is the timestamp of the oldest record.
    `unreadable` are deliveries that nobody could read, each with its segment's id. `refused` are the segment's id, the
    offset and the error of each record that PostgreSQL refuses: it is evidence and poison, and nothing else.
    """

    segments: list[Segment] = field(default_factory=list)
    statuses: list[tuple[int, Read[Status]]] = field(default_factory=list)
    receipts: dict[int, MergedReceipt] = field(default_factory=dict)
    poison: list[tuple[str, int, Poison]] = field(default_factory=list)
    unreadable: list[tuple[int, Unreadable]] = field(default_factory=list)
    refused: list[tuple[int, int, str]] = field(default_factory=list)
    receipt_count: int = 0
    oldest_at: int = 0

    def add_statuses(
        self,
        segment_id: int,
        position: Position,
        records: Sequence[Record],
        to_offset: int,
        refused: Mapping[int, str] = NONE_REFUSED,
    ) -> Position:
        """Add what was read from one partition of statuses; the position after it. `refused` are errors by offset."""
        read = read_statuses(self._set_apart(segment_id, position, records, refused))
        self.statuses.append((segment_id, read))
        return self._add(segment_id, position, records, to_offset, read.poison)

    def add_receipts(
        self,
        segment_id: int,
        position: Position,
        records: Sequence[Record],
        to_offset: int,
        refused: Mapping[int, str] = NONE_REFUSED,
    ) -> Position:
        """Add what was read from one partition of receipts; the position after it. `refused` are errors by offset."""
        read = read_receipts(self._set_apart(segment_id, position, records, refused))
        merge_receipts(read.values, read.timestamps, segment_id, self.receipts)
        self.receipt_count += len(read.values)
        self.unreadable += [(segment_id, one) for one in read.unreadable]
        return self._add(segment_id, position, records, to_offset, read.poison)

    def add_none(self, segment_id: int, position: Position, to_offset: int) -> Position:
        """Add that one partition holds no records until before `to_offset`; the position there."""
        segment, position = position.extend(segment_id, (), to_offset)
        self.segments.append(segment)
        return position

    def _set_apart(
        self, segment_id: int, position: Position, records: Sequence[Record], refused: Mapping[int, str]
    ) -> Sequence[Record]:
        if not refused:
            return records
        for record in records:
            if record.offset in refused:
                error = refused[record.offset]
                self.refused.append((segment_id, record.offset, error))
                self.poison.append((position.topic, position.partition, Poison(record, error)))
        return [record for record in records if record.offset not in refused]

    def _add(
        self, segment_id: int, position: Position, records: Sequence[Record], to_offset: int, poison: Sequence[Poison]
    ) -> Position:
        segment, position = position.extend(segment_id, records, to_offset)
        self.segments.append(segment)
        self.poison += [(position.topic, position.partition, one) for one in poison]
        self.oldest_at = min(self.oldest_at or records[0].timestamp, records[0].timestamp)
        return position


@dataclass(slots=True)
class Recorded:
    """What one batch did, for metrics: attempts written, receipts read and parked, and latencies of the others.

    `matched` are receipts that came after their status, `early` are those that did not; `repeated` counts receipts
    that were not the first of their attempt.
    """

    attempts: int = 0
    receipts: int = 0
    parked: int = 0
    matched: Latencies = field(default_factory=dict)
    early: Latencies = field(default_factory=dict)
    repeated: Counter[tuple[int | None, int]] = field(default_factory=Counter)


async def commit_batch(
    connection: asyncpg.Connection,
    batch: Batch,
    *,
    parked: ParkedCache,
    accounts: dict[str, int],
    chunks: ChunkEnds,
    shard: int,
    log_intact: bool,
    others: OtherRoutes,
) -> Recorded:
    """Write a batch in one transaction: evidence, attempts, receipts, counters, and who goes by another route.

    Tries again when recorders are in each other's way. Raises `FencedError` if another recorder owns the partition,
    `StaleError` if `parked` is out of date, and what asyncpg raises when the server goes away; then it is open
    whether the batch was written.
    """
    names = {status.account for _, read in batch.statuses for status in read.values}
    names |= {receipt.account for receipt in batch.receipts.values()}
    names |= {one.receipt.account for _, one in batch.unreadable}
    await number_accounts(connection, (name.replace("\0", "") for name in names), accounts)
    rows = AttemptRows()
    for evidence_id, read in batch.statuses:
        add_statuses(
            rows,
            read.values,
            read.timestamps,
            evidence_id,
            accounts=accounts,
            receipts=batch.receipts,
            parked=parked.receipts,
            log_intact=log_intact,
        )
    receipts = list(batch.receipts.values())
    other_of = number_routes(others, accounts) if others else {}
    exact = False
    for tries in range(_TRIES):
        try:
            recorded, unmatched = await _commit_once(
                connection, batch, rows, receipts, accounts, other_of, shard, chunks, exact=exact
            )
        except AmbiguousError:
            exact = True
        except TRANSIENT:
            if tries == _TRIES - 1:
                raise
        else:
            parked.add(unmatched)
            recorded.receipts = batch.receipt_count
            return recorded
    raise StaleError(f"batch not written in {_TRIES} tries")


async def _commit_once(  # noqa: PLR0917 (called once)
    connection: asyncpg.Connection,
    batch: Batch,
    rows: AttemptRows,
    receipts: Sequence[MergedReceipt],
    accounts: Mapping[str, int],
    other_of: Mapping[int, str],
    shard: int,
    chunks: ChunkEnds,
    *,
    exact: bool,
) -> tuple[Recorded, list[MergedReceipt]]:
    async with connection.transaction():
        await add_segments(connection, batch.segments)
        await _add_unreadable(connection, batch.unreadable, accounts)
        await _add_refused(connection, batch.refused)
        if not await delete_parked(connection, rows.joined_parked):
            raise StaleError("a parked receipt was joined by another recorder")
        if rows.count:
            await connection.copy_to_table(
                "attempts", source=_copy_messages(rows.pieces), columns=COLUMNS, format="binary"
            )
        joined = await join(connection, receipts, exact=exact, undelivered_of=other_of.keys())
        await park(connection, joined.unmatched, accounts)
        moves = [rows.moves, joined.moves]
        needs_recount: set[Recipient] = rows.needs_recount | joined.needs_recount
        if needs_recount:
            own = {segment.id for segment in batch.segments}
            moves.append(await lock_and_recount(connection, needs_recount, own, joined.before))
        await add_to_counters(connection, shard, merge_moves(moves), chunks)
        # Not `+`: it drops what is taken back.
        outcomes: OutcomeCounts = Counter(rows.outcomes)
        outcomes.update(joined.outcomes)
        await add_outcomes(connection, shard, outcomes)
        if rows.count:
            alert_ids = {key[0] for key in rows.moves} | {recipient[0] for recipient in rows.needs_recount}
            statuses = [read.values for _, read in batch.statuses]
            await alarm_after_completion(connection, alert_ids, statuses, [segment.id for segment in batch.segments])
        if other_of:
            await note_undelivered(connection, rows.undelivered | joined.undelivered, other_of)
    recorded = Recorded(
        attempts=rows.count,
        parked=len(joined.unmatched),
        matched=joined.latencies,
        early=rows.latencies,
        repeated=joined.repeated,
    )
    return recorded, joined.unmatched


async def _add_unreadable(
    connection: asyncpg.Connection, unreadable: Sequence[tuple[int, Unreadable]], accounts: Mapping[str, int]
) -> None:
    """List deliveries that nobody could read; their octets are in the evidence."""
    if unreadable:
        await connection.copy_records_to_table(
            "unreadable_deliveries",
            columns=("evidence_id", "record_offset", "account", "received_at"),
            records=[
                (evidence_id, one.offset, accounts.get(one.receipt.account.replace("\0", "")), one.received_at)
                for evidence_id, one in unreadable
            ],
        )


async def _add_refused(connection: asyncpg.Connection, refused: Sequence[tuple[int, int, str]]) -> None:
    """List records that PostgreSQL refuses: nothing but the evidence and a dead letter holds them."""
    if refused:
        await connection.copy_records_to_table(
            "refused_records", columns=("evidence_id", "record_offset", "error"), records=refused
        )


async def _copy_messages(pieces: list[bytes]) -> AsyncIterator[bytes]:
    joined = b"".join((HEADER, *pieces, TRAILER))
    for start in range(0, len(joined), _COPY_BYTES):
        yield joined[start : start + _COPY_BYTES]
