"""Waiting for what no event announces: a condition is polled until it holds or its time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from broadcast.clock import monotonic

T = TypeVar("T")

WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.02


async def eventually(
    condition: Callable[[], object], what: str = "", *, within_seconds: float = WITHIN_SECONDS
) -> float:
    """Wait until the condition, a function or a coroutine function, is true; the seconds that took.

    Fails with `what` when the time is over.
    """
    began_at = monotonic()
    while True:
        held = condition()
        if await held if isawaitable(held) else held:
            return monotonic() - began_at
        assert monotonic() - began_at < within_seconds, f"not within {within_seconds} s: {what or condition}"
        await asyncio.sleep(POLL_SECONDS)


async def found_first(
    look: Callable[[], Awaitable[T | None]], what: str = "", *, within_seconds: float = WITHIN_SECONDS
) -> T:
    """The first answer that is true, of a coroutine function that is asked until then."""
    began_at = monotonic()
    while not (answer := await look()):
        assert monotonic() - began_at < within_seconds, f"not within {within_seconds} s: {what or look}"
        await asyncio.sleep(POLL_SECONDS)
    return answer


async def remains(condition: Callable[[], object], what: str = "", *, for_seconds: float) -> None:
    """Look again and again for so long: fails with `what` as soon as the condition does not hold."""
    until = monotonic() + for_seconds
    while True:
        held = condition()
        assert await held if isawaitable(held) else held, what or condition
        if monotonic() >= until:
            return
        await asyncio.sleep(POLL_SECONDS)
