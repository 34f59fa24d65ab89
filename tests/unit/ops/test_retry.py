"""Trying again: pauses that grow, jitter, and the one log event."""

from collections.abc import Awaitable, Callable

import pytest
import structlog

from broadcast.retry import Backoff, retry


class Clock:
    """Takes the place of sleeping, and remembers for how long."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 6))


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low


def failing(times: int, error: Exception) -> tuple[list[int], Callable[[], Awaitable[str]]]:
    calls: list[int] = []

    async def action() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error
        return "done"

    return calls, action


async def test_pauses_grow_to_the_longest_and_begin_again_after_a_reset() -> None:
    clock = Clock()
    pause = Backoff(first_seconds=0.1, longest_seconds=0.5, growth=2.0, sleep=clock.sleep, uniform=longest)
    for _ in range(5):
        await pause.sleep()
    pause.reset()
    await pause.sleep()
    assert clock.pauses == [0.1, 0.2, 0.4, 0.5, 0.5, 0.1]


async def test_jitter_takes_at_most_half_of_a_pause() -> None:
    low = Backoff(first_seconds=0.2, uniform=shortest)
    assert [low.next_seconds(), low.next_seconds()] == [0.1, 0.2]
    pauses = {Backoff(first_seconds=0.2).next_seconds() for _ in range(100)}
    assert len(pauses) > 50
    assert all(0.1 <= seconds <= 0.2 for seconds in pauses)


async def test_a_pause_is_cut_by_the_time_that_is_left() -> None:
    clock = Clock()
    pause = Backoff(first_seconds=1.0, sleep=clock.sleep, uniform=longest)
    await pause.sleep(at_most=0.25)
    with structlog.testing.capture_logs():
        await pause.wait("kafka", "topics", OSError("refused"), at_most=0.5)
    assert clock.pauses == [0.25, 0.5]


async def test_an_action_is_tried_until_it_succeeds_and_every_wait_is_logged() -> None:
    clock = Clock()
    calls, action = failing(2, OSError("refused"))
    with structlog.testing.capture_logs() as lines:
        pause = Backoff(first_seconds=0.1, sleep=clock.sleep, uniform=longest)
        answer = await retry("recorder", action, service="postgresql", away=(OSError,), pause=pause)
    assert (answer, len(calls), clock.pauses) == ("done", 3, [0.1, 0.2])
    assert lines == [
        {
            "event": "service_awaited",
            "log_level": "warning",
            "service": "postgresql",
            "what": "recorder",
            "error": "OSError('refused')",
            "pause_seconds": seconds,
        }
        for seconds in (0.1, 0.2)
    ]


async def test_another_error_passes() -> None:
    calls, action = failing(1, ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        await retry("recorder", action, service="kafka", away=(OSError,))
    assert len(calls) == 1
