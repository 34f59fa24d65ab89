"""Several coroutines as one piece of work: they run until a stop or the first failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Duty = Callable[[], Coroutine[Any, Any, None]]


async def run_duties(
    stop: asyncio.Event, duties: Mapping[str, Duty], *, on_stop: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run duties, each as a task of its name, until `stop`, the first failure, or the end of all.

    At a stop `on_stop` is awaited while the duties still run. Then the rest is cancelled and awaited, and the first
    failure is raised. A duty that returns leaves the others running.
    """
    stopping = asyncio.create_task(stop.wait(), name="stop")
    tasks = [asyncio.create_task(duty(), name=name) for name, duty in duties.items()]
    try:
        left = set(tasks)
        while left and not stopping.done():
            await asyncio.wait((stopping, *left), return_when=asyncio.FIRST_COMPLETED)
            left -= _take_ended(tasks)
        if stopping.done() and on_stop is not None:
            await on_stop()
            _take_ended(tasks)
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)


async def unless_stopped(stop: asyncio.Event, action: Coroutine[Any, Any, T]) -> T | None:
    """What `action` returns; None, with the action cancelled, when `stop` comes first."""
    stopping, acting = asyncio.create_task(stop.wait(), name="stop"), asyncio.create_task(action)
    try:
        await asyncio.wait((stopping, acting), return_when=asyncio.FIRST_COMPLETED)
        return acting.result() if acting.done() else None
    finally:
        for task in (stopping, acting):
            task.cancel()
        await asyncio.gather(stopping, acting, return_exceptions=True)


def _take_ended(tasks: list[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    # Raises the failure of the first that has one.
    ended = {task for task in tasks if task.done()}
    for task in tasks:
        if task in ended:
            task.result()
    return ended
