"""What a sender must know now: alerts and stops, read from `control.v1` (`docs/sender.md`)."""

import math
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from broadcast.alarms import CONTROL_LOST_ITS_TAIL, Alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.clients import AWAY, make_consumer
from broadcast.kafka.fencing import find_offsets
from broadcast.retry import Backoff, retry
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

POLL_MS: Final = 100
LONGEST_PAUSE_SECONDS: Final = 0.5
"""Between two attempts to read: nothing is sent without control."""


class ControlView:
    """Alerts and stops by alert id, and how fresh that is. Pure.

    It held everything that control had at `caught_up_at`, on the monotonic clock: a wall clock that is set back would
    make it look fresher than it is.
    """

    def __init__(self) -> None:
        self.controls: Final[dict[str, Control]] = {}
        self.stopped: Final[set[str]] = set()
        self.caught_up_at = -math.inf
        self._decoder: Final = msgspec.json.Decoder(Control)

    def apply(self, key: bytes | None, value: bytes | None, now: int) -> None:
        """One record. A stop stays, whatever follows; a control without a value forgets the alert.

        msgspec.MsgspecError (ValidationError, DecodeError) for a value that is no control record.
        """
        name = (key or b"").decode()
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

    def behind(self, now: float) -> bool:
        """Whether, at `now` on the monotonic clock, a stop may have been missed."""
        return now - self.caught_up_at > BEHIND_SECONDS

    def passed(self, instant: float) -> bool:
        """Whether it holds everything that control had at an instant of the monotonic clock."""
        return self.caught_up_at > instant + PASSED_MARGIN_SECONDS


class ControlReader:
    """Keeps a view up to date: a consumer without a group, from the beginning of the log.

    `on_change` hears that something has changed, `on_poison` of each unreadable record that came since the start: those
    before were seen by whoever ran then.
    """

    def __init__(
        self,
        settings: Settings,
        view: ControlView,
        on_change: Callable[[], None],
        on_poison: Callable[[Record, str], None],
        *,
        alarms: Alarms,
    ) -> None:
        self.view: Final = view
        self._partition: Final = TopicPartition(Names(settings.topic_prefix).control, 0)
        self._on_change: Final = on_change
        self._on_poison: Final = on_poison
        self._alarms: Final = alarms
        self._end_at_start = 0
        self._consumer: Final[AIOKafkaConsumer] = make_consumer(settings, group_id=None)

    async def start(self) -> None:
        """Connect, and find the beginning of the log; waits for a broker that is away."""
        await retry("control", self._consumer.start, service="kafka", away=AWAY)
        self._consumer.assign([self._partition])
        await self._rewind()
        ends = await find_offsets(self._consumer.end_offsets, [self._partition])
        self._end_at_start = ends[self._partition]

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def run(self) -> None:
        """Read until cancelled; whatever the broker does, it goes on when it can."""
        pause = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)
        while True:
            try:
                await self._read()
                pause.reset()
            except OffsetOutOfRangeError:
                # Kafka's data is not what it was. What this view has stays: a stop that was lost still holds.
                self._alarms.raise_soon(
                    CONTROL_LOST_ITS_TAIL,
                    f"{self._partition.topic}/{self._partition.partition}",
                    "control ends before what was read of it, so it is read from its beginning; stop again what was"
                    " stopped lately",
                )
                await self._rewind()
            except KafkaError as error:
                await pause.wait("kafka", "control", error)

    async def _read(self) -> None:
        records = (await self._consumer.getmany(self._partition, timeout_ms=POLL_MS)).get(self._partition, ())
        self._apply(records)
        highwater = self._consumer.highwater(self._partition)
        if highwater is not None and await self._consumer.position(self._partition) >= highwater:
            # When the last fetch was answered: what this process did since says nothing about the log.
            age_ms = max(0, epoch_milliseconds() - self._consumer.last_poll_timestamp(self._partition))
            self.view.caught_up_at = max(self.view.caught_up_at, monotonic() - age_ms / 1000)
        if records:
            self._on_change()

    def _apply(self, records: Iterable[Record]) -> None:
        now = epoch_milliseconds()
        for record in records:
            try:
                self.view.apply(record.key, record.value, now)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                # One bad record must not hide the stops behind it.
                log.error("control_skipped", offset=record.offset, error=str(error))  # noqa: TRY400
                if record.offset >= self._end_at_start:
                    self._on_poison(record, str(error))

    async def _rewind(self) -> None:
        beginnings = await find_offsets(self._consumer.beginning_offsets, [self._partition])
        self._consumer.seek(self._partition, beginnings[self._partition])
