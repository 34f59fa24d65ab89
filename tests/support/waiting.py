"""Waiting for what no event announces: a condition is polled until it holds or its time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from broadcast.clock import monotonic

T = TypeVar("T")

WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.5


async def eventually(
    condition: Callable[[], object], what: str = "", *, within_seconds: float = WITHIN_SECONDS
) -> float:
    """Wait until the condition, a function or a coroutine function, is true; the seconds that took.

    Fails with `what` when the time is over, even if the condition itself hangs.
    """
    began_at = monotonic()
    try:
        async with asyncio.timeout(within_seconds):
            looked_at = began_at
            while not await _holds(condition):
                looked_at = await _pause(looked_at)
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds} s: {what or condition}") from None
    return monotonic() - began_at


async def found_first(
    look: Callable[[], Awaitable[T | None]], what: str = "", *, within_seconds: float = WITHIN_SECONDS
) -> T:
    """The first answer that is true, of a coroutine function that is asked until then."""
    try:
        async with asyncio.timeout(within_seconds):
            looked_at = monotonic()
            while not (answer := await look()):
                looked_at = await _pause(looked_at)
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds} s: {what or look}") from None
    return answer


async def remains(condition: Callable[[], object], what: str = "", *, for_seconds: float) -> None:
    """Look again and again for so long: fails with `what` as soon as the condition does not hold."""
    until = monotonic() + for_seconds
    while True:
        assert await _holds(condition), what or condition
        if monotonic() >= until:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _pause(looked_at: float) -> float:
    """Wait twice as long as the look took that began then; when the next look begins.

    What is looked at, often a whole topic, is read by the same two cores that the system under test needs.
    """
    await asyncio.sleep(min(max(2 * (monotonic() - looked_at), POLL_SECONDS), LONGEST_POLL_SECONDS))
    return monotonic()


async def _holds(condition: Callable[[], object]) -> bool:
    held = condition()
    return bool(await held if isawaitable(held) else held)
