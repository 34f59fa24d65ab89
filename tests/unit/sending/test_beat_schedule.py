"""When beats begin."""

import asyncio

import pytest

from broadcast.clock import monotonic
from broadcast.sending.beat import SLOW_SECONDS, Rhythm


async def test_an_idle_sender_still_beats() -> None:
    rhythm = Rhythm(0.03, 0.05)
    began = monotonic()
    assert await rhythm.wait() is False
    assert monotonic() - began >= 0.04


async def test_whoever_waits_for_a_time_looks_again_without_a_beat() -> None:
    rhythm = Rhythm(0.02, 5.0)
    rhythm.begin()
    rhythm.end()
    async with asyncio.timeout(1.0):
        assert await rhythm.wait(watchful=True) is False
    assert not rhythm.idle


async def test_an_idle_beat_is_due_after_the_idle_time_only() -> None:
    now = 0.0
    rhythm = Rhythm(0.03, 1.0, clock=lambda: now)
    rhythm.begin()
    now = 0.99
    assert not rhythm.idle
    now = 1.0
    assert rhythm.idle


async def test_beats_with_something_to_say_keep_their_distance() -> None:
    rhythm = Rhythm(0.1, 5.0)
    rhythm.begin()
    rhythm.end()
    rhythm.note()
    began = monotonic()
    assert await rhythm.wait() is True
    assert 0.08 <= monotonic() - began < 2.0


async def test_a_hurry_does_not_wait() -> None:
    rhythm = Rhythm(5.0, 5.0)
    rhythm.begin()
    rhythm.end()
    waiting = asyncio.create_task(rhythm.wait())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    rhythm.hurry()
    async with asyncio.timeout(1.0):
        assert await waiting is True


@pytest.mark.parametrize("late", [True, False])
async def test_what_comes_after_a_beat_has_taken_what_it_carries_is_for_the_next(*, late: bool) -> None:
    rhythm = Rhythm(0.0, 0.05)
    rhythm.begin()
    if not late:
        rhythm.note()
    rhythm.take()
    if late:
        rhythm.note()
    rhythm.end()
    async with asyncio.timeout(1.0):
        assert await rhythm.wait() is late


async def test_a_beat_is_slow_only_while_it_goes_on() -> None:
    now = 0.0
    rhythm = Rhythm(0.03, 1.0, clock=lambda: now)
    rhythm.begin()
    now = SLOW_SECONDS
    assert not rhythm.slow
    now = SLOW_SECONDS + 0.01
    assert rhythm.slow
    rhythm.end()
    assert not rhythm.slow
