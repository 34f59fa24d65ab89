"""Keeps a sender's view of alerts and stops up to date from `control.v1`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from broadcast.alarms import CONTROL_FULL, CONTROL_LOST_ITS_TAIL
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.clients import AWAY, make_consumer
from broadcast.kafka.fencing import find_offsets
from broadcast.retry import Backoff, retry
from broadcast.sending.control.view import ControlFullError, ControlView
from broadcast.sending.protocol import SenderEvents
from broadcast.settings import DAY_SECONDS, Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

POLL_MS: Final = 100
LONGEST_PAUSE_SECONDS: Final = 0.5
"""Between two attempts to read: nothing is sent without control."""

FULL_PAUSE_SECONDS: Final = 5.0
"""Between two looks at whether a record has room by now."""


class ControlReader:
    """Keeps a view up to date: a consumer without a group, from the beginning of the log.

    `now_ms` says what has expired. `wall_ms` is the clock of this process, which the consumer uses too.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        end_at_start: int,
        *,
        view: ControlView | None = None,
        now_ms: Callable[[], int] = epoch_milliseconds,
        wall_ms: Callable[[], int] = epoch_milliseconds,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.view: Final = ControlView() if view is None else view
        self._consumer: Final = consumer
        self._partition: Final = partition
        self._end_at_start: Final = end_at_start
        self._now_ms: Final = now_ms
        self._wall_ms: Final = wall_ms
        self._clock: Final = clock
        self._full = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, now_ms: Callable[[], int] = epoch_milliseconds
    ) -> AsyncIterator["ControlReader"]:
        """Connect, and find the beginning of the log; waits for a broker that is away. `now_ms` is a wall clock."""
        partition = TopicPartition(Names(settings.topic_prefix).control, 0)
        # A stop must not wait for a transaction that somebody has left open; control records are written in none.
        consumer = make_consumer(settings, group_id=None, isolation_level="read_uncommitted")
        try:
            await retry("control", consumer.start, service="kafka", away=AWAY)
            consumer.assign([partition])
            await _rewind(consumer, partition)
            ends = await find_offsets(consumer.end_offsets, [partition])
            kept_ms = (settings.longest_expiry_seconds + DAY_SECONDS) * 1000
            view = ControlView(settings.control_megabytes << 20, kept_ms)
            yield cls(consumer, partition, ends[partition], view=view, now_ms=now_ms)
        finally:
            await consumer.stop()

    async def run(self, events: SenderEvents) -> None:
        """Read until cancelled; waits for a broker that is away.

        `events` hears of each change, and of each unreadable record that came since the start: those before
        became dead letters of the sender that ran then.
        """
        pause = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)
        while True:
            try:
                await self.read(events)
                pause.reset()
            except OffsetOutOfRangeError:
                # Kafka has lost records. What this view has stays: a stop that was lost still holds.
                subject = f"{self._partition.topic}/{self._partition.partition}"
                detail = (
                    "control ends before what was read of it, so it is read from its beginning; stop again what was "
                    "stopped lately"
                )
                events.raise_alarm(CONTROL_LOST_ITS_TAIL, subject, detail)
                await _rewind(self._consumer, self._partition)
            except KafkaError as error:
                await pause.wait("kafka", "control", error)

    async def read(self, events: SenderEvents) -> None:
        """Read what has come, or wait a moment for it."""
        records = (await self._consumer.getmany(self._partition, timeout_ms=POLL_MS)).get(self._partition, ())
        if not self._apply(records, events):
            # Until then nothing is written: the view falls behind.
            await asyncio.sleep(FULL_PAUSE_SECONDS)
            return
        highwater = self._consumer.highwater(self._partition)
        if highwater is not None and await self._consumer.position(self._partition) >= highwater:
            # When the last fetch was answered: what this process did since says nothing about the log.
            age_ms = max(0, self._wall_ms() - self._consumer.last_poll_timestamp(self._partition))
            self.view.caught_up_at = max(self.view.caught_up_at, self._clock() - age_ms / 1000)
        if records:
            events.write_ready()

    def _apply(self, records: Iterable[Record], events: SenderEvents) -> bool:
        """Whether all have room; if not, reading goes on at the first that has none."""
        now = self._now_ms()
        for record in records:
            # Whoever wrote a record chose its time: what comes while we read was written at this moment.
            at = now if record.offset >= self._end_at_start else record.timestamp
            try:
                self.view.apply(record.key, record.value, now, at=at)
            except ControlFullError as error:
                self._consumer.seek(self._partition, record.offset)
                if not self._full:
                    self._full = True
                    self._tell_full(record, str(error), events)
                return False
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                # One bad record must not hide the stops behind it.
                log.error("control_skipped", offset=record.offset, error=str(error))  # noqa: TRY400
                if record.offset >= self._end_at_start:
                    events.put_aside(record, str(error))
            else:
                if self._full:
                    self._full = False
                    log.info("control_resumed", offset=record.offset)
        return True

    def _tell_full(self, record: Record, error: str, events: SenderEvents) -> None:
        detail = (
            f"{error}: the record at offset {record.offset} is not taken in, and nothing is sent, because a stop may "
            "be behind it; raise BROADCAST_CONTROL_MEGABYTES and start the sender again"
        )
        events.raise_alarm(CONTROL_FULL, f"{self._partition.topic}/{self._partition.partition}", detail)


async def _rewind(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
    beginnings = await find_offsets(consumer.beginning_offsets, [partition])
    consumer.seek(partition, beginnings[partition])
