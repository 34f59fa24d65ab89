"""What a sender must know of alerts now: their control records and stops, read from `control.v1`."""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from broadcast.alarms import CONTROL_LOST_ITS_TAIL
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.clients import AWAY, make_consumer
from broadcast.kafka.fencing import find_offsets
from broadcast.retry import Backoff, retry
from broadcast.sending.protocol import SenderEvents
from broadcast.settings import Settings
from schemas.control import STOP_SUFFIX, Control
from schemas.topics import Names

log = structlog.get_logger(__name__)

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

BEHIND_SECONDS: Final = 1.0
"""A reader that is further behind may have missed a stop: nothing is written until it has caught up."""

PASSED_MARGIN_SECONDS: Final = 0.5
"""A fetch that is answered this long after an instant was asked for after it: ten times the longest wait of a fetch."""

FORGET_TEXTS_MS: Final = 86_400_000
"""An alert that expired so long ago keeps its place but not its texts."""

KEY_LENGTH_MAX: Final = 64
"""More than an alert id with its suffix has: keys of stops are kept for ever."""

POLL_MS: Final = 100
LONGEST_PAUSE_SECONDS: Final = 0.5
"""Between two attempts to read: nothing is sent without control."""


class ControlView:
    """Alerts and stops by alert id, and how fresh that is. Pure.

    `seen` has when each alert was first read, in milliseconds since the epoch. `caught_up_at` is the last instant of
    the monotonic clock at which it held everything that control had. A wall clock that is set back would make it look
    fresher than it is.
    """

    def __init__(self) -> None:
        self.controls: Final[dict[str, Control]] = {}
        self.seen: Final[dict[str, int]] = {}
        self.stopped: Final[set[str]] = set()
        self.caught_up_at = -math.inf
        self._decoder: Final = msgspec.json.Decoder(Control)

    def apply(self, key: bytes | None, value: bytes | None, now: int) -> None:
        """Take in one record: a stop stays whatever follows, a control without a value removes the alert.

        msgspec.MsgspecError (ValidationError, DecodeError) for a value that is no control record, or too long a key.
        """
        name = (key or b"").decode()
        if len(name) > KEY_LENGTH_MAX:
            raise msgspec.ValidationError(f"key has {len(name)} characters, at most {KEY_LENGTH_MAX}: an alert id")
        if name.endswith(STOP_SUFFIX):
            if value is not None:
                self.stopped.add(name.removesuffix(STOP_SUFFIX))
        elif value is None:
            self.controls.pop(name, None)
        else:
            control = self._decoder.decode(value)
            if control.expires_at < now - FORGET_TEXTS_MS:
                control.variants = ()
            self.controls[control.alert_id] = control
            self.seen.setdefault(control.alert_id, now)

    def behind(self, now: float) -> bool:
        """Whether, at `now` on the monotonic clock, a stop may have been missed."""
        return now - self.caught_up_at > BEHIND_SECONDS

    def passed(self, instant: float) -> bool:
        """Whether it holds everything that control had at an instant of the monotonic clock."""
        return self.caught_up_at > instant + PASSED_MARGIN_SECONDS


class ControlReader:
    """Keeps a view up to date: a consumer without a group, from the beginning of the log."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        end_at_start: int,
        *,
        now_ms: Callable[[], int] = epoch_milliseconds,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.view: Final = ControlView()
        self._consumer: Final = consumer
        self._partition: Final = partition
        self._end_at_start: Final = end_at_start
        self._now_ms: Final = now_ms
        self._clock: Final = clock

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["ControlReader"]:
        """Connect, and find the beginning of the log; waits for a broker that is away."""
        partition = TopicPartition(Names(settings.topic_prefix).control, 0)
        consumer = make_consumer(settings, group_id=None)
        try:
            await retry("control", consumer.start, service="kafka", away=AWAY)
            consumer.assign([partition])
            await _rewind(consumer, partition)
            ends = await find_offsets(consumer.end_offsets, [partition])
            yield cls(consumer, partition, ends[partition])
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
        self._apply(records, events)
        highwater = self._consumer.highwater(self._partition)
        if highwater is not None and await self._consumer.position(self._partition) >= highwater:
            # When the last fetch was answered: what this process did since says nothing about the log.
            age_ms = max(0, self._now_ms() - self._consumer.last_poll_timestamp(self._partition))
            self.view.caught_up_at = max(self.view.caught_up_at, self._clock() - age_ms / 1000)
        if records:
            events.write_ready()

    def _apply(self, records: Iterable[Record], events: SenderEvents) -> None:
        now = self._now_ms()
        for record in records:
            try:
                self.view.apply(record.key, record.value, now)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                # One bad record must not hide the stops behind it.
                log.error("control_skipped", offset=record.offset, error=str(error))  # noqa: TRY400
                if record.offset >= self._end_at_start:
                    events.put_aside(record, str(error))


async def _rewind(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
    beginnings = await find_offsets(consumer.beginning_offsets, [partition])
    consumer.seek(partition, beginnings[partition])
