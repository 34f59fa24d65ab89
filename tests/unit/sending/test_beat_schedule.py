"""When beats begin."""

import asyncio

import pytest

from broadcast.clock import monotonic
from broadcast.sending.beat import SLOW_SECONDS, BeatSchedule


async def test_an_idle_sender_still_beats() -> None:
    schedule = BeatSchedule(0.03, 0.05)
    began = monotonic()
    assert await schedule.wait() is False
    assert monotonic() - began >= 0.04


async def test_whoever_waits_for_a_time_looks_again_without_a_beat() -> None:
    schedule = BeatSchedule(0.02, 5.0)
    schedule.begin()
    schedule.end()
    async with asyncio.timeout(4.0):
        assert await schedule.wait(watchful=True) is False
    assert not schedule.idle


async def test_an_idle_beat_is_due_after_the_idle_time_only() -> None:
    now = 0.0
    schedule = BeatSchedule(0.03, 1.0, clock=lambda: now)
    schedule.begin()
    now = 0.99
    assert not schedule.idle
    now = 1.0
    assert schedule.idle


async def test_beats_with_something_to_say_keep_their_distance() -> None:
    schedule = BeatSchedule(0.1, 5.0)
    schedule.begin()
    schedule.end()
    schedule.want_beat()
    began = monotonic()
    assert await schedule.wait() is True
    assert 0.08 <= monotonic() - began < 4.0


async def test_a_beat_that_is_wanted_now_does_not_wait() -> None:
    schedule = BeatSchedule(5.0, 5.0)
    schedule.begin()
    schedule.end()
    waiting = asyncio.create_task(schedule.wait())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    schedule.beat_now()
    async with asyncio.timeout(4.0):
        assert await waiting is True


@pytest.mark.parametrize("late", [True, False])
async def test_what_comes_after_a_beat_has_taken_what_it_carries_is_for_the_next(*, late: bool) -> None:
    schedule = BeatSchedule(0.0, 0.05)
    schedule.begin()
    if not late:
        schedule.want_beat()
    schedule.take()
    if late:
        schedule.want_beat()
    schedule.end()
    async with asyncio.timeout(4.0):
        assert await schedule.wait() is late


async def test_a_beat_is_slow_only_while_it_goes_on() -> None:
    now = 0.0
    schedule = BeatSchedule(0.03, 1.0, clock=lambda: now)
    schedule.begin()
    now = SLOW_SECONDS
    assert not schedule.slow
    now = SLOW_SECONDS + 0.01
    assert schedule.slow
    schedule.end()
    assert not schedule.slow
