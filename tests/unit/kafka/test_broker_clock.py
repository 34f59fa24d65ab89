"""When a wall clock may be believed, by the broker's answers."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.broker_clock import LIMIT_SECONDS, SLOW_SECONDS, BrokerClock, _ask, begin_again

NOW_MS = 1_900_000_000_000


class Host:
    """A host whose clocks stand still unless they are moved; the broker's is right."""

    def __init__(self, ahead_seconds: float = 0.0) -> None:
        self.ahead_seconds = ahead_seconds
        self.monotonic = 100.0
        self.clock = BrokerClock(wall_ms=self.wall_ms, clock=lambda: self.monotonic)

    def wall_ms(self) -> int:
        return self.right_ms() + round(self.ahead_seconds * 1000)

    def right_ms(self) -> int:
        return NOW_MS + round((self.monotonic - 100.0) * 1000)

    def compare(self, seconds: float = 0.01, share: float = 0.5) -> None:
        """One answer, stamped after this share of the time that it seconds."""
        asked_at, stamped_ms = self.monotonic, self.right_ms() + round(seconds * share * 1000)
        self.monotonic += seconds
        self.clock.note(stamped_ms, asked_at, self.monotonic)


async def test_nothing_is_decided_before_the_first_comparison() -> None:
    host = Host()
    assert not host.clock.agrees()
    host.compare()
    assert host.clock.agrees()


@given(st.floats(-1e6, 1e6), st.floats(0, SLOW_SECONDS), st.floats(0, 1), st.floats(0, 3600))
async def test_a_right_clock_is_always_believed_and_a_wrong_one_never(
    ahead: float, seconds: float, share: float, later: float
) -> None:
    host = Host(ahead)
    host.compare(seconds, share)
    host.monotonic += later
    if abs(ahead) <= LIMIT_SECONDS:
        assert host.clock.agrees()
    if abs(ahead) > LIMIT_SECONDS + seconds + 0.01:
        assert not host.clock.agrees()
    assert abs(host.clock.now_ms() - host.right_ms()) <= seconds * 500 + 2
    if not host.clock.agrees():
        assert host.wall_ms() + host.clock.correction_ms() == host.clock.now_ms()
    else:
        assert host.clock.correction_ms() == 0


@given(st.floats(-1e6, 1e6).filter(lambda seconds: abs(seconds) > LIMIT_SECONDS + 0.1))
async def test_a_jump_is_seen_before_the_next_comparison(jump: float) -> None:
    host = Host()
    host.compare()
    host.ahead_seconds = jump
    assert not host.clock.agrees()
    host.ahead_seconds = 0.0
    assert host.clock.agrees()


async def test_an_answer_that_seconds_long_replaces_no_comparison() -> None:
    host = Host()
    host.compare()
    host.compare(seconds=60.0)
    host.ahead_seconds = LIMIT_SECONDS + 1
    assert not host.clock.agrees()


@pytest.mark.parametrize("sign", [1, -1])
async def test_up_to_five_seconds_apart_a_clock_is_right(sign: int) -> None:
    host = Host()
    host.compare(seconds=0.0)
    host.ahead_seconds = sign * 5.0
    assert host.clock.agrees()
    host.ahead_seconds = sign * 5.001
    assert not host.clock.agrees()


async def test_an_answer_within_two_seconds_replaces_the_comparison_before_it() -> None:
    for seconds, replaced in ((2.0, True), (2.5, False)):
        host = Host()
        host.compare()
        host.clock.note(host.right_ms() + 60_000, host.monotonic, host.monotonic + seconds)
        assert host.clock.agrees() is not replaced, seconds


class Stamping:
    """A producer whose broker stamps records itself (1), or keeps the time that the producer gave (0)."""

    def __init__(self, timestamp_type: int) -> None:
        self.timestamp_type, self.timestamp = timestamp_type, NOW_MS

    async def send_and_wait(self, *_: Any, **__: Any) -> "Stamping":
        return self


@pytest.mark.parametrize(("timestamp_type", "compared"), [(1, True), (0, False)])
async def test_a_time_that_the_broker_did_not_set_is_no_comparison(timestamp_type: int, compared: bool) -> None:
    clock, producer = BrokerClock(), cast("AIOKafkaProducer", Stamping(timestamp_type))
    assert await _ask(producer, "clock", "planner 1", clock) is compared
    assert clock.compared.is_set() is compared
    assert not clock.agrees(), "the broker's clock is that of another year"


async def test_who_waits_goes_on_when_the_clock_was_corrected() -> None:
    host = Host(3600.0)
    host.compare()
    waiting = asyncio.create_task(host.clock.wait_until_right())
    await asyncio.sleep(0)
    assert not waiting.done()
    host.ahead_seconds = 0.0
    host.compare()
    await asyncio.wait_for(waiting, 1)


async def test_it_names_both_clocks() -> None:
    host = Host(3600.0)
    host.compare()
    assert (
        host.clock.explain() == "this process has 2030-03-17T18:46:40+00:00, and the broker 2030-03-17T17:46:40+00:00"
    )


async def test_the_comparison_begins_anew_after_whatever_error() -> None:
    errors: list[Exception] = [
        AssertionError("sender ended"),
        OSError("away"),
        KafkaError("away"),
        RuntimeError("a fault"),
    ]
    left, noted, paused = list(errors), list[BaseException](), list[float]()

    async def compare() -> None:
        if not left:
            raise asyncio.CancelledError
        raise left.pop(0)

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    with pytest.raises(asyncio.CancelledError):
        await begin_again(compare, noted.append, pause=pause)
    assert (noted, len(paused)) == (errors, len(errors))
