"""The recorder: statuses and receipts to PostgreSQL, in batches, each record exactly once.

Consume both topics, write a batch and its evidence in one PostgreSQL transaction, go on. The evidence table is the
offset store; Kafka's group gives membership and assignment only.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from broadcast import metrics
from broadcast.audit.attempts.poison import PoisonWriter, Refusals
from broadcast.audit.attempts.recording import ABANDONED, QUIET_SECONDS, Recording, open_recording
from broadcast.audit.errors import RefusedError
from broadcast.audit.undelivered import OtherRoutes, other_routes
from broadcast.audit.watch.outcome_alarms import OutcomeWatch
from broadcast.audit.watch.sweep import sweep_forever
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.duties import run_duties
from broadcast.health import Health, WatchedLog
from broadcast.kafka.assignment import Assignment, Assignments
from broadcast.kafka.clients import AWAY, Consumer, make_consumer
from broadcast.retry import Backoff, retry
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

POLL_MS: Final = 25
FETCH_BYTES: Final = 512 * 1024
"""Of one partition at once, compressed: eight partitions stay far below the memory that is allowed."""

STOP_SECONDS: Final = 4.0
"""A batch that is being written at a stop gets this long; what is not written is read again at the next start."""

CLOSE_SECONDS: Final = 2.0
"""To leave, after that: a broker that is away does not answer."""


class Recorder:
    """One recorder process: `work` until `stop` is set, then `close`.

    `others` are the routes of what is undelivered.
    """

    def __init__(self, settings: Settings, health: Health, others: OtherRoutes) -> None:
        self.settings: Final = settings
        self.health: Final = health
        self.names: Final = Names(settings.topic_prefix)
        self.group: Final = f"{settings.topic_prefix}recorder"
        self.consumer: Final[Consumer] = make_consumer(
            settings,
            group_id=self.group,
            group_instance_id=f"recorder-{settings.slot}",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        self.assignments: Final = Assignments(self.consumer)
        self.poison_writer: Final = PoisonWriter(settings)
        self.refusals: Final = Refusals()
        self.others: Final = others
        self._pause: Final = Backoff()
        self._ended: Final = asyncio.Event()
        self._recording: Recording | None = None
        self._written: dict[TopicPartition, int] = {}
        health.logs.append(WatchedLog(self.consumer.assignment, self._note_ends))
        health.shows.append(self._show_audit_lag)

    async def work(self, stop: asyncio.Event) -> None:
        """Record until stopped, one assignment after the other; whatever goes away is waited for."""
        try:
            await retry("recorder", self.consumer.start, service="kafka", away=AWAY)
            self.consumer.subscribe([self.names.statuses, self.names.receipts], listener=self.assignments)
            while not stop.is_set():
                try:
                    await self._record_assignment(stop)
                except (NoOffsetForPartitionError, IllegalStateError):
                    continue  # used between a new assignment and the listener's call: read, or a partition that is gone
                except OffsetOutOfRangeError as error:
                    log.warning("offsets_lost", error=str(error))
                except RefusedError as error:
                    log.warning("batch_halved", error=str(error), records_next=self.refusals.most)
                except ABANDONED as error:
                    log.warning("batch_abandoned", error=repr(error))
                    await self._pause.sleep()
                except KafkaError as error:
                    await self._pause.wait("kafka", "recorder", error)
        finally:
            self._ended.set()

    async def wait_ended(self) -> None:
        """Wait until `work` has ended, for at most `STOP_SECONDS`: what it waits for may be away for good."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), STOP_SECONDS)

    async def close(self) -> None:
        """Leave the group's brokers; a static member keeps its place for its return."""
        await self.consumer.stop()

    async def _record_assignment(self, stop: asyncio.Event) -> None:
        """Record what is assigned at this moment until that changes, or until `stop`."""
        assignment = self.assignments.take()
        try:
            await self._record(assignment, stop)
        finally:
            if self._recording is not None:
                self._written, self._recording = self._recording.written, None

    async def _record(self, assignment: Assignment, stop: asyncio.Event) -> None:
        async with open_recording(
            self.settings, assignment, self.poison_writer, self.refusals, others=self.others
        ) as recording:
            if recording.assignment.revoked:
                return
            self._recording = recording
            # After a new connection too: only from a position on does the consumer connect to a partition's leader.
            self._seek(recording)
            self.health.release("start")
            while recording.assignment.current:
                if stop.is_set():
                    if recording.idle and recording.connected:
                        recording.add_quiet(0.0)
                        await self._write(recording)
                    await recording.finish(STOP_SECONDS)
                    return
                await self._read(recording)
                if await recording.take_written():
                    await self._report_progress(recording)
                if recording.due() and recording.assignment.current:
                    if not recording.connected:
                        self.health.behind(self.group, self._lags(recording))
                        return
                    await self._write(recording)

    def _seek(self, recording: Recording) -> None:
        """Go to the end of the evidence of every partition; no await between them, so that no read comes between."""
        for tp, position in recording.positions.items():
            self.consumer.seek(tp, position.offset)
        log.info("positions_installed", partitions=len(recording.positions), log_intact=recording.log_intact)

    async def _read(self, recording: Recording) -> None:
        room = await recording.wait_for_room()
        if not room:
            return
        read = await self.consumer.getmany(timeout_ms=POLL_MS, max_records=room)
        if not recording.assignment.current:
            return
        recording.add(read)
        if recording.idle:
            recording.add_quiet(QUIET_SECONDS)
            self.health.behind(self.group, self._lags(recording))

    async def _write(self, recording: Recording) -> None:
        """Build the next batch while the one before is being written; then write it."""
        reached = {tp: await self.consumer.position(tp) for tp in recording.pending}
        batch = await recording.build_batch(reached)
        if await recording.take_written(wait=True):
            await self._report_progress(recording)
        if recording.assignment.current and batch.segments:
            recording.begin_write(batch)

    async def _report_progress(self, recording: Recording) -> None:
        self._pause.reset()
        self.health.progress(self.group, self._lags(recording))

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        """Report the lag by the ends of the logs while nothing is read, as while PostgreSQL is away."""
        recording = self._recording
        if recording is not None and recording.idle:
            return  # by its own position, which passes the ends of transactions too
        written = self._written if recording is None else recording.written
        lags = {self.names.statuses: 0, self.names.receipts: 0}
        for tp, offset in written.items():
            lags[tp.topic] += max(0, ends.get(tp, 0) - offset)
        self.health.behind(self.group, lags)

    def _show_audit_lag(self) -> None:
        recording, group = self._recording, self.health.groups.get(self.group)
        oldest_at = None if recording is None else recording.oldest_at
        if oldest_at is not None:
            metrics.audit_lag.set(max(0, epoch_milliseconds() - oldest_at) / 1000)
        else:
            metrics.audit_lag.set(monotonic() - group.moved_at if group is not None and group.lag else 0)

    def _lags(self, recording: Recording) -> dict[str, int]:
        """Records of the assigned partitions that are not recorded, by topic."""
        by_topic = {self.names.statuses: 0, self.names.receipts: 0}
        pending = recording.pending
        for tp in recording.positions:
            by_topic[tp.topic] += pending.get(tp, 0) + self.consumer.unread(tp)
        return by_topic


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """The stage `recorder`: record, and sweep, until `stop` is set."""
    routes = load_routes(settings) if settings.routes_file is not None else ()
    others, outcomes = other_routes(routes), OutcomeWatch(settings, routes)
    recorder = Recorder(settings, health, others)
    duties = {
        "recorder": lambda: recorder.work(stop),
        "sweep": lambda: sweep_forever(settings, others, outcomes, health),
    }
    try:
        await run_duties(stop, duties, on_stop=recorder.wait_ended)
    finally:
        await asyncio.wait([asyncio.create_task(recorder.close())], timeout=CLOSE_SECONDS)
