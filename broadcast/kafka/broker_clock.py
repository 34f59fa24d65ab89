"""Compares this process's wall clock with the broker's, which stamps each record of `clock.v1` itself.

An alert expires by the wall clock, finally, so a clock that is wrong must decide nothing. Between two comparisons the
monotonic clock says what the wall clock should be: a jump is seen at once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer

from broadcast.alarms import CLOCK_WRONG, Alarms, keep_alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.health import Health
from broadcast.kafka.clients import ENDED, make_producer, start_client
from broadcast.kafka.events import stop_producer
from broadcast.settings import Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

LIMIT_SECONDS: Final = 5.0
"""A larger difference is a wrong clock: NTP keeps some milliseconds, and an alert lives for minutes at least."""

COMPARE_SECONDS: Final = 2.0
"""Between two comparisons; the monotonic clock drifts by less than a millisecond meanwhile."""

SLOW_SECONDS: Final = 2.0
"""An answer that took longer says little about the clock, and replaces no comparison before it."""

WRITE_SECONDS: Final = 10.0

HOLD: Final = "clock"

APPEND_TIME: Final = 1
"""The type of timestamps that the broker sets (LogAppendTime)."""


class Comparison(NamedTuple):
    """What one answer of the broker says: its clock at an instant of the monotonic clock, and how exactly.

    Milliseconds since the epoch, seconds, and seconds.
    """

    broker_ms: int
    at: float
    within_seconds: float

    def broker_now_ms(self, now: float) -> int:
        """The broker's clock at another instant of the monotonic clock."""
        return self.broker_ms + round((now - self.at) * 1000)

    def difference_seconds(self, wall_ms: int, now: float) -> float:
        """How far the wall clock is ahead of the broker's at least.

        Below 0 it is behind; 0: nobody can tell.
        """
        difference = (wall_ms - self.broker_now_ms(now)) / 1000
        if abs(difference) <= self.within_seconds:
            return 0.0
        return difference - self.within_seconds if difference > 0 else difference + self.within_seconds


class BrokerClock:
    """Says whether the wall clock may be believed. Made by `keep_broker_clock`, which compares it again and again.

    `compared` is set at the first comparison.
    """

    def __init__(
        self,
        *,
        wall_ms: Callable[[], int] = epoch_milliseconds,
        clock: Callable[[], float] = monotonic,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self.compared: Final = asyncio.Event()
        self._agreed: Final = asyncio.Event()
        self._wall_ms: Final = wall_ms
        self._clock: Final = clock
        self._limit: Final = limit_seconds
        self._last: Comparison | None = None

    def agrees(self) -> bool:
        """Whether the wall clock is now within the limit of the broker's; False before the first comparison."""
        return self._last is not None and abs(self.difference_seconds()) <= self._limit

    def difference_seconds(self) -> float:
        """How far the wall clock is ahead now, as far as it is known."""
        return 0.0 if self._last is None else self._last.difference_seconds(self._wall_ms(), self._clock())

    def now_ms(self) -> int:
        """The broker's clock, in milliseconds since the epoch; before the first comparison the wall clock."""
        return self._wall_ms() if self._last is None else self._last.broker_now_ms(self._clock())

    def correction_ms(self) -> int:
        """What the wall clock lacks to the broker's while it is wrong; 0 while they agree."""
        return 0 if self._last is None or self.agrees() else self.now_ms() - self._wall_ms()

    def note(self, broker_ms: int, asked_at: float, answered_at: float) -> None:
        """The broker's clock said this at some moment between two instants of the monotonic clock."""
        seconds = answered_at - asked_at
        if seconds <= SLOW_SECONDS or self._last is None:
            self._last = Comparison(broker_ms, (asked_at + answered_at) / 2, seconds / 2)
            self.compared.set()
        if self.agrees():
            self._agreed.set()
        else:
            self._agreed.clear()

    async def wait_until_right(self) -> None:
        """Wait until the wall clock agrees with the broker's."""
        while not self.agrees():
            self._agreed.clear()
            await self._agreed.wait()

    def explain(self) -> str:
        """Both clocks, for people."""
        wall, broker = (
            datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
            for ms in (self._wall_ms(), self.now_ms())
        )
        return f"this process has {wall}, and the broker {broker}"


@asynccontextmanager
async def keep_broker_clock(settings: Settings, health: Health) -> AsyncIterator[BrokerClock]:
    """A clock that is compared while the context is open; the process is not ready while it is wrong."""
    clock = BrokerClock()
    health.hold(HOLD, "the clock has not been compared with the broker's yet")
    comparing = asyncio.create_task(_compare_forever(settings, health, clock), name="clock")
    try:
        yield clock
    finally:
        comparing.cancel()
        await asyncio.wait((comparing,))


async def _compare_forever(settings: Settings, health: Health, clock: BrokerClock) -> None:
    async with keep_alarms(settings) as alarms:
        comparing = _Comparing(settings, health, clock, alarms)
        await begin_again(comparing.compare, comparing.note_error)


class _Comparing:
    """Compares a clock, and tells the readiness of the process and the alarms what came of it."""

    def __init__(self, settings: Settings, health: Health, clock: BrokerClock, alarms: Alarms) -> None:
        self._settings: Final = settings
        self._health: Final = health
        self._clock: Final = clock
        self._alarms: Final = alarms
        self._topic: Final = Names(settings.topic_prefix).clock
        self._subject: Final = f"{health.stage} {settings.slot}"
        self._alarmed = False

    async def compare(self) -> None:
        """Compare with one producer until its first error."""
        producer = await start_client("clock", lambda: make_producer(self._settings), AIOKafkaProducer.stop)
        try:
            while True:
                async with asyncio.timeout(WRITE_SECONDS):
                    stamped = await _ask(producer, self._topic, self._subject, self._clock)
                if stamped:
                    self._tell()
                else:
                    self._health.hold(HOLD, f"topic {self._topic} has no LogAppendTime; run `broadcast topics check`")
                await asyncio.sleep(COMPARE_SECONDS)
        finally:
            await stop_producer(producer)

    def note_error(self, error: BaseException) -> None:
        """Without any comparison the process is not ready; later the last one holds, by the monotonic clock."""
        if not self._clock.compared.is_set():
            reason = f"the clock has not been compared with the broker's: {error!r}"
            self._health.hold(HOLD, f"{reason}; is topic {self._topic} there? Run `broadcast topics create`")

    def _tell(self) -> None:
        if self._clock.agrees():
            self._health.release(HOLD)
            if self._alarmed:
                self._alarmed = False
                log.info("clock_corrected", difference_seconds=round(self._clock.difference_seconds(), 3))
                self._alarms.end_soon(CLOCK_WRONG, self._subject)
            return
        explained = self._clock.explain()
        self._health.hold(HOLD, f"the clock is wrong: {explained}")
        if not self._alarmed:
            self._alarmed = True
            detail = (
                f"{explained}: until they agree within {LIMIT_SECONDS:g} s, this process sends, plans and refuses "
                "nothing; correct the clock of this host, or of the broker"
            )
            self._alarms.raise_soon(CLOCK_WRONG, self._subject, detail)


async def begin_again(
    compare: Callable[[], Awaitable[None]],
    note_error: Callable[[BaseException], None],
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Compare until cancelled: after an error, whatever it is, a log event and a pause, begin again."""
    while True:
        try:
            await compare()
        except ENDED as error:
            log.warning("clock_not_compared", error=repr(error))
            note_error(error)
        except Exception as error:
            # Without comparisons a clock that goes wrong would be believed for ever.
            log.exception("clock_not_compared")
            note_error(error)
        await pause(COMPARE_SECONDS)


async def _ask(producer: AIOKafkaProducer, topic: str, subject: str, clock: BrokerClock) -> bool:
    """Have the broker stamp one record; whether it does."""
    asked_at = monotonic()
    written = await producer.send_and_wait(topic, b"", key=subject.encode(), partition=0)
    answered_at = monotonic()
    if written.timestamp_type != APPEND_TIME:
        return False
    clock.note(written.timestamp, asked_at, answered_at)
    return True
