"""The recorder: statuses and receipts to PostgreSQL, in batches, each record exactly once.

Consume both topics, write a batch and its evidence in one PostgreSQL transaction, go on. The evidence table is the
offset store; Kafka's group gives membership and assignment only.
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any
from zlib import crc32

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from broadcast import metrics
from broadcast.alarms import is_trusting
from broadcast.audit.attempts.batch import TRANSIENT, Batch, Recorded, commit_batch
from broadcast.audit.attempts.metrics import report_batch
from broadcast.audit.attempts.receipts import ParkedCache
from broadcast.audit.errors import StaleError
from broadcast.audit.evidence.continuity import Probe, confirm_position
from broadcast.audit.evidence.segments import Position, SegmentIds, read_positions
from broadcast.audit.session import open_session
from broadcast.audit.watch.letters import Letters
from broadcast.audit.watch.sweep import sweep_forever
from broadcast.clock import monotonic
from broadcast.database.pool import AWAY, wait_for_database
from broadcast.health import Health
from broadcast.kafka.clients import make_consumer
from broadcast.settings import Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

BATCH_RECORDS = 8_000
"""Records that are enough for a batch: larger ones save nothing more, and hold the event loop for longer."""

PENDING_RECORDS = 16_000
"""Most records in memory that wait for the batch before; then Kafka waits."""

BATCH_SECONDS = 0.05
"""Shortest time between two batches: under load they grow instead of multiplying, idle nothing waits."""

POLL_MS = 25
FETCH_BYTES = 512 * 1024
"""Of one partition at once, compressed: eight partitions stay far below the memory that is allowed."""

SHARDS = 64
STOP_SECONDS = 4.0
"""A batch that is being written at a stop gets this long; what is not written is read again at the next start."""

CLOSE_SECONDS = 2.0
"""To leave, after that: a broker that is away does not answer."""

PAUSE_SECONDS = 0.2

ABANDONED: tuple[type[BaseException], ...] = (*AWAY, *TRANSIENT, StaleError, asyncpg.QueryCanceledError)
"""After these it is open whether a batch was written: look into the evidence and begin from its end."""


class _Assignments(ConsumerRebalanceListener):
    """Counts assignments, so that nothing read before one is recorded after it."""

    def __init__(self) -> None:
        self.generation = 0

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:  # noqa: ARG002
        self.generation += 1

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:  # noqa: ARG002
        self.generation += 1


class Recorder:
    """One recorder process: `work` until `stop` is set."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self.settings = settings
        self.health = health
        self.names = Names(settings.topic_prefix)
        self.shard = crc32(settings.slot.encode()) % SHARDS
        self.group = f"{settings.topic_prefix}recorder"
        self.assignments = _Assignments()
        self.consumer: AIOKafkaConsumer = make_consumer(
            settings,
            group_id=self.group,
            group_instance_id=f"recorder-{settings.slot}",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        self.letters = Letters(settings, self.names)
        self.connection: asyncpg.Connection | None = None
        self.ids = SegmentIds()
        self.accounts: dict[str, int] = {}
        self.installed = -1
        self.connections: frozenset[object] = frozenset()
        self._forget()

    def _forget(self) -> None:
        self.positions: dict[TopicPartition, Position] = {}
        self.pending: dict[TopicPartition, list[ConsumerRecord]] = defaultdict(list)
        self.parked = ParkedCache()
        self.log_intact = True
        self.flushed_at = 0.0
        self.writing: asyncio.Task[Recorded] | None = None
        self.installed = -1

    async def work(self, stop: asyncio.Event) -> None:
        """Record until stopped; whatever goes away is waited for."""
        await self._start_consumer(stop)
        await self.letters.start()
        while not stop.is_set():
            try:
                if self.installed != self.assignments.generation or self._reconnected():
                    await self._install()
                    self.health.release("start")
                await self._read()
                await self._reap()
                if self._due():
                    await self._flush()
            except NoOffsetForPartitionError:
                continue  # read before its position was installed
            except OffsetOutOfRangeError as error:
                log.warning("offset_out_of_range", error=str(error))
                await self._abandon()
            except ABANDONED as error:
                log.warning("batch_abandoned", error=repr(error))
                await self._abandon()
                await self._disconnect()
                await asyncio.sleep(PAUSE_SECONDS)
            except KafkaError as error:
                log.warning("kafka_away", error=repr(error))
                await self._abandon()
                await asyncio.sleep(PAUSE_SECONDS)
        if self.writing is not None:
            with suppress(*ABANDONED):
                await asyncio.wait_for(self.writing, STOP_SECONDS)

    async def close(self) -> None:
        """Leave; a static member keeps its place for its return."""
        if self.writing is not None and not self.writing.done():
            self.writing.cancel()
        await self._disconnect()
        await self.letters.stop()
        await self.consumer.stop()

    async def _start_consumer(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.consumer.start()
            except KafkaError as error:
                log.warning("kafka_away", error=repr(error))
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                break
        self.consumer.subscribe([self.names.statuses, self.names.receipts], listener=self.assignments)

    def _reconnected(self) -> bool:
        """True if the consumer has another connection to a broker than when it was installed.

        The broker behind it may hold an old copy of the log, so what it says is not recorded before `confirm_position`.
        """
        return self._connections() != self.connections

    def _connections(self) -> frozenset[object]:
        return frozenset(self.consumer._client._conns.values())

    async def _install(self) -> None:
        """Start every assigned partition from its evidence, with no await between the seeks."""
        await self._abandon()
        generation, connections = self.assignments.generation, self._connections()
        assigned = sorted(self.consumer.assignment())
        connection = await self._connect()
        recorded = await read_positions(connection, assigned)
        positions = {}
        if assigned:
            async with Probe(self.settings) as probe:
                for tp in assigned:
                    positions[tp] = await confirm_position(connection, probe, recorded[tp])
        log_intact = await is_trusting(connection)
        if generation != self.assignments.generation:
            return
        for tp, position in positions.items():
            self.consumer.seek(tp, position.offset)
        self.positions, self.log_intact = positions, log_intact
        self.installed, self.connections = generation, connections
        log.info("positions_installed", partitions=len(positions), log_intact=log_intact)

    async def _connect(self) -> asyncpg.Connection:
        if self.connection is None or self.connection.is_closed():
            self.connection = await wait_for_database("recorder", lambda: open_session(self.settings))
            self.ids = SegmentIds()
            self.accounts = {}
        return self.connection

    async def _disconnect(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None

    async def _abandon(self) -> None:
        """Forget everything since the last commit; it is read again from the evidence's end."""
        if self.writing is not None and not self.writing.done():
            self.writing.cancel()
            await asyncio.wait([self.writing])
            await self._disconnect()  # cancelled in the middle of a transaction
        if self.writing is not None and self.writing.done() and not self.writing.cancelled():
            self.writing.exception()
        self._forget()

    async def _read(self) -> None:
        room = PENDING_RECORDS - sum(map(len, self.pending.values()))
        if room <= 0:
            assert self.writing is not None  # noqa: S101 (`_due` lets nothing wait without it)
            await asyncio.wait([self.writing])
            return
        read = await self.consumer.getmany(timeout_ms=POLL_MS, max_records=room)
        if self.installed != self.assignments.generation or self._reconnected():
            return
        for tp, records in read.items():
            if tp in self.positions:
                self.pending[tp] += records
        idle = not self.pending and self.writing is None
        if idle and not self.health.behind(self.group, await self._lags()).lag:
            metrics.audit_lag.set(0)

    def _due(self) -> bool:
        if self.installed != self.assignments.generation or not self.pending or self._reconnected():
            return False
        if sum(map(len, self.pending.values())) >= BATCH_RECORDS:
            return True
        return self.writing is None and monotonic() - self.flushed_at >= BATCH_SECONDS

    async def _flush(self) -> None:
        """Build the next batch while the one before is being written; then write it."""
        connection = self.connection
        if connection is None or connection.is_closed():
            self.health.behind(self.group, await self._lags())
            # The server that comes back may have lost its last commits: look where the evidence ends.
            await self._abandon()
            return
        pending, self.pending = self.pending, defaultdict(list)
        reached = {tp: await self.consumer.position(tp) for tp in pending}
        generation = self.assignments.generation
        if self.writing is None:
            await self.ids.reserve(connection, 2 * len(self.positions))
        if generation != self.installed:
            return
        batch = self._build(pending, reached)
        del pending
        await self._reap(wait=True)
        if generation != self.assignments.generation:
            return
        self.flushed_at = monotonic()
        self.writing = asyncio.create_task(self._write(connection, batch), name="recorder-write")

    def _build(self, pending: dict[TopicPartition, list[ConsumerRecord]], reached: dict[TopicPartition, int]) -> Batch:
        batch = Batch()
        for tp in sorted(pending):
            add = batch.add_statuses if tp.topic == self.names.statuses else batch.add_receipts
            self.positions[tp] = add(self.ids.take(), self.positions[tp], pending[tp], reached[tp])
        return batch

    async def _write(self, connection: asyncpg.Connection, batch: Batch) -> Recorded:
        await self.letters.send(batch.poison)
        recorded = await commit_batch(
            connection,
            batch,
            parked=self.parked,
            accounts=self.accounts,
            shard=self.shard,
            log_intact=self.log_intact,
        )
        report_batch(batch, recorded, self.accounts)
        await self.ids.reserve(connection, 2 * len(self.positions))
        return recorded

    async def _reap(self, *, wait: bool = False) -> None:
        """Take the result of the batch that is being written, if it is done; its error becomes ours."""
        if self.writing is None or not (wait or self.writing.done()):
            return
        if not self.writing.done():
            await asyncio.wait([self.writing])
        writing, self.writing = self.writing, None
        writing.result()
        self.health.progress(self.group, await self._lags())

    async def _lags(self) -> dict[str, int]:
        """Records of the assigned partitions that are not recorded, by topic."""
        by_topic = {self.names.statuses: 0, self.names.receipts: 0}
        for tp in self.positions:
            end = self.consumer.last_stable_offset(tp)
            by_topic[tp.topic] += len(self.pending.get(tp, ()))
            if end is not None and end >= 0 and tp in self.consumer.assignment():
                by_topic[tp.topic] += max(0, end - await self.consumer.position(tp))
        return by_topic


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """The stage `recorder`: record, and sweep, until `stop` is set."""
    recorder = Recorder(settings, health)
    sweeping = asyncio.create_task(sweep_forever(settings), name="recorder-sweep")
    working = asyncio.create_task(recorder.work(stop), name="recorder-work")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([sweeping, working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            # What it waits for may be away for good.
            await asyncio.wait([working], timeout=STOP_SECONDS)
        for task in (working, sweeping):
            if task.done():
                task.result()
    finally:
        for task in (sweeping, working):
            task.cancel()
        stopping.cancel()
        leaving = asyncio.create_task(_leave(recorder, sweeping, working))
        await asyncio.wait([leaving], timeout=CLOSE_SECONDS)


async def _leave(recorder: Recorder, *tasks: asyncio.Task[Any]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await recorder.close()
