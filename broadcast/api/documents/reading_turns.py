"""Large alerts are read in a process of their own, one after the other, small ones before large ones."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

from broadcast.api.documents.reading_process import RETRY_AFTER_SECONDS, ReadingProcess
from broadcast.api.problems import unavailable
from broadcast.clock import monotonic

INLINE_BYTES_MAX = 4_096
"""Larger alerts are read in another process, so that they delay no other. So large a one takes 5 ms at most."""

INLINE_GEOMETRY_UNITS = 20_000
"""What looking at the polygons of a smaller one may cost, 2 ms; with more to look at, it is read there, too."""

WAITING_MAX = 20
"""Alerts that may wait; at a third of a second each, the last of them takes seven seconds."""

BYTES_A_SECOND = 100_000
"""A large alert lets pass what comes a second later for each so many bytes that it has more."""

T = TypeVar("T")


class ReadingTurns:
    """One process of its own: nothing else waits for what is read there."""

    def __init__(self, process: ReadingProcess | None = None) -> None:
        self.process = process or ReadingProcess()
        self._working: asyncio.Task[Any] | None = None
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._busy = False

    async def run(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns for a document of `size` bytes.

        Raises a 503 problem if too many wait, or it takes too long.
        """
        if self._busy:
            if len(self._waiting) >= WAITING_MAX:
                raise unavailable(
                    "reading",
                    f"{len(self._waiting)} large alerts wait to be read; send it again in {RETRY_AFTER_SECONDS} s",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (monotonic() + size / BYTES_A_SECOND, next(self._numbers), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next()
                raise
        self._busy = True
        working = self._working = asyncio.create_task(self.process.call(function, *arguments))
        # Not when the request ends: what the process does is not stopped by that.
        working.add_done_callback(self._end)
        return await asyncio.shield(working)

    async def close(self) -> None:
        """End the process, and what it does."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        await self.process.close()

    def _end(self, working: asyncio.Task[Any]) -> None:
        if not working.cancelled():
            working.exception()
        self._next()

    def _next(self) -> None:
        self._busy = False
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._busy = True
                turn.set_result(None)
                return
