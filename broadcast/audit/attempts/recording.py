"""Recording one assignment: what was read waits, becomes batches, and is written, each record exactly once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from zlib import crc32

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition

from broadcast.alarms import is_log_intact
from broadcast.audit.attempts.batch import Batch, commit_batch
from broadcast.audit.attempts.metrics import report_batch
from broadcast.audit.attempts.poison import REFUSALS, PoisonWriter, Refusals
from broadcast.audit.attempts.receipts import ParkedCache
from broadcast.audit.chunk_states.chunk_ends import ChunkEnds
from broadcast.audit.errors import RefusedError, StaleError
from broadcast.audit.evidence.continuity import confirm_positions
from broadcast.audit.evidence.segments import Position, SegmentIds
from broadcast.audit.session import open_session
from broadcast.audit.undelivered import OtherRoutes
from broadcast.clock import monotonic
from broadcast.database.pool import AWAY, TRANSIENT, wait_for_database
from broadcast.kafka.assignment import Assignment
from broadcast.settings import Settings
from schemas.topics import Names

BATCH_RECORDS: Final = 8_000
"""Records that are enough for a batch: larger ones save nothing more, and hold the event loop for longer."""

PENDING_RECORDS: Final = 16_000
"""Most records in memory that wait for the batch before; then Kafka waits."""

BATCH_SECONDS: Final = 0.05
"""Shortest time between two batches: under load they grow instead of multiplying, idle nothing waits."""

QUIET_SECONDS: Final = 5.0
"""After so long without a record of a partition its evidence is brought up to the end of its log, at most as often."""

SHARDS: Final = 64
ABANDON_SECONDS: Final = 1.0
"""For a write that is cancelled to end in order; then its connection is closed."""

ABANDONED: tuple[type[BaseException], ...] = (*AWAY, *TRANSIENT, StaleError, RefusedError, asyncpg.QueryCanceledError)
"""After these it is open whether a batch was written: look into the evidence and begin from its end."""


class Recording:
    """What was read of one assignment since its evidence ended; one batch is built while the one before is written.

    Made by `open_recording`. It ends with its assignment or at the first error: what is not committed is read again.
    """

    def __init__(
        self,
        settings: Settings,
        connection: asyncpg.Connection,
        assignment: Assignment,
        positions: Mapping[TopicPartition, Position],
        poison_writer: PoisonWriter,
        *,
        refusals: Refusals,
        others: OtherRoutes,
        log_intact: bool,
    ) -> None:
        self.assignment: Final = assignment
        self.positions: Final = dict(positions)
        self.log_intact: Final = log_intact
        self._names: Final = Names(settings.topic_prefix)
        self._shard: Final = crc32(settings.slot.encode()) % SHARDS
        self._connection: Final = connection
        self._poison_writer: Final = poison_writer
        self._refusals: Final = refusals
        self._others: Final = others
        self._ids: Final = SegmentIds()
        self._accounts: Final[dict[str, int]] = {}
        self._parked: Final = ParkedCache()
        self._chunks: Final = ChunkEnds()
        self._pending: dict[TopicPartition, list[ConsumerRecord]] = defaultdict(list)
        self._writing: asyncio.Task[Mapping[TopicPartition, int]] | None = None
        self._began_at = 0.0
        self._read_at: dict[TopicPartition, float] = dict.fromkeys(positions, monotonic())
        self._writing_since: int | None = None
        self.written: Final = {tp: position.offset for tp, position in positions.items()}

    @property
    def oldest_at(self) -> int | None:
        """Timestamp, in milliseconds, of the oldest record that was read and is not written; None without any."""
        first = [records[0].timestamp for records in self._pending.values() if records]
        return min([*first, *(() if self._writing_since is None else (self._writing_since,))], default=None)

    @property
    def connected(self) -> bool:
        """False when PostgreSQL is gone: it may have lost its last commits, so the evidence must be read again."""
        return not self._connection.is_closed()

    @property
    def idle(self) -> bool:
        """True if nothing that was read is still to be written."""
        return not any(self._pending.values()) and self._writing is None

    @property
    def pending(self) -> dict[TopicPartition, int]:
        """Records that were read and are in no batch yet, by partition."""
        return {tp: len(records) for tp, records in self._pending.items()}

    def add(self, read: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """Have records written with the next batch."""
        now = monotonic()
        for tp, records in read.items():
            if tp in self.positions:
                self._pending[tp] += records
                self._read_at[tp] = now

    def add_quiet(self, for_seconds: float) -> None:
        """Have offsets without records covered too, of partitions of which nothing was read for so long.

        The end of a transaction, and what was aborted, take offsets. Left out, they would look lost when Kafka deletes
        them, and like work that is not done.
        """
        now = monotonic()
        for tp, read_at in self._read_at.items():
            if now - read_at >= for_seconds:
                self._pending[tp] += []
                self._read_at[tp] = now

    async def wait_for_room(self) -> int:
        """How many more records may be read; waits for the write of a batch while it is none."""
        room = PENDING_RECORDS - sum(map(len, self._pending.values()))
        if room <= 0 and self._writing is not None:
            await asyncio.wait([self._writing])
        return max(0, room)

    def due(self) -> bool:
        """True if it is time for the next batch."""
        if not self._pending:
            return False
        if sum(map(len, self._pending.values())) >= BATCH_RECORDS:
            return True
        return self._writing is None and monotonic() - self._began_at >= BATCH_SECONDS

    async def build_batch(self, reached: Mapping[TopicPartition, int]) -> Batch:
        """A batch of what is pending, up to the limit of records; `reached` are the offsets after all of it."""
        pending, self._pending = self._pending, defaultdict(list)
        if self._refusals.most is not None:
            reached = dict(reached)
            self._leave_pending(pending, reached, self._refusals.most)
        if self._writing is None:
            await self._reserve_ids()
        batch = Batch()
        for tp in sorted(pending):
            if not pending[tp]:
                if reached[tp] > self.positions[tp].offset:
                    self.positions[tp] = batch.add_none(self._ids.take(), self.positions[tp], reached[tp])
                continue
            add = batch.add_statuses if tp.topic == self._names.statuses else batch.add_receipts
            refused = self._refusals.of(tp.topic, tp.partition)
            self.positions[tp] = add(self._ids.take(), self.positions[tp], pending[tp], reached[tp], refused)
        return batch

    def _leave_pending(
        self, pending: dict[TopicPartition, list[ConsumerRecord]], reached: dict[TopicPartition, int], most: int
    ) -> None:
        for tp in sorted(pending):
            records = pending[tp]
            if len(records) > most:
                self._pending[tp] = records[most:]
                reached[tp] = records[most].offset
                if most:
                    pending[tp] = records[:most]
                else:
                    del pending[tp]
            most -= min(most, len(records))

    def begin_write(self, batch: Batch) -> None:
        """Write a batch in a task of its own; `take_written` comes first."""
        assert self._writing is None  # noqa: S101 (two writes would use one connection)
        self._began_at = monotonic()
        self._writing_since = batch.oldest_at or None
        self._writing = asyncio.create_task(self._write(batch), name="recorder-write")

    async def take_written(self, *, wait: bool = False) -> bool:
        """True once for every batch that was committed; raises what its write raised."""
        if self._writing is None or not (wait or self._writing.done()):
            return False
        if not self._writing.done():
            await asyncio.wait([self._writing])
        writing, self._writing, self._writing_since = self._writing, None, None
        self.written.update(writing.result())
        return True

    async def finish(self, timeout_seconds: float) -> None:
        """Let the write of a batch end, for at most this long; what is not written is read again."""
        if self._writing is not None:
            with suppress(*ABANDONED):
                await asyncio.wait_for(self._writing, timeout_seconds)

    async def abandon(self) -> None:
        """End a write that has not ended, and the connection."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing], timeout=ABANDON_SECONDS)
            if self._writing.done() and not self._writing.cancelled():
                self._writing.exception()
        self._connection.terminate()

    async def _write(self, batch: Batch) -> Mapping[TopicPartition, int]:
        await self._poison_writer.write(batch.poison)
        try:
            recorded = await commit_batch(
                self._connection,
                batch,
                parked=self._parked,
                accounts=self._accounts,
                chunks=self._chunks,
                shard=self._shard,
                log_intact=self.log_intact,
                others=self._others,
            )
        except REFUSALS as error:
            self._refusals.note_refused(batch.segments, error)
            raise RefusedError(repr(error)) from error
        self._refusals.note_written(batch.segments, BATCH_RECORDS)
        report_batch(batch, recorded, self._accounts)
        await self._reserve_ids()
        return {TopicPartition(one.topic, one.partition): one.to_offset for one in batch.segments}

    async def _reserve_ids(self) -> None:
        await self._ids.reserve(self._connection, 2 * len(self.positions))


@asynccontextmanager
async def open_recording(
    settings: Settings,
    assignment: Assignment,
    poison_writer: PoisonWriter,
    refusals: Refusals,
    *,
    others: OtherRoutes,
) -> AsyncIterator[Recording]:
    """A recording that begins where the evidence of each partition ends; PostgreSQL is waited for.

    `refusals` outlive it. `others` are the routes of what is undelivered. Raises `KafkaError` while the broker is away.
    """
    connection = await wait_for_database("recorder", lambda: open_session(settings))
    try:
        positions = await confirm_positions(settings, connection, assignment.partitions)
        log_intact = await is_log_intact(connection)
        recording = Recording(
            settings,
            connection,
            assignment,
            positions,
            poison_writer,
            refusals=refusals,
            others=others,
            log_intact=log_intact,
        )
    except BaseException:
        connection.terminate()
        raise
    try:
        yield recording
    finally:
        await recording.abandon()
