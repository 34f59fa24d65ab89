"""A thread in which large alerts are read, one after the other, small ones before large ones."""

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

from broadcast.api.problems import unavailable
from broadcast.clock import monotonic

INLINE_BYTES_MAX = 16_384
"""Larger alerts are read in a thread, so that they delay no other request. So large a one takes 30 ms at most."""

WAITING_MAX = 20
"""Alerts that may wait; at a third of a second each, the last of them takes seven seconds."""

RETRY_AFTER_SECONDS = 5

BYTES_A_SECOND = 100_000
"""A large alert lets pass what comes a second later for each so many bytes that it has more."""

T = TypeVar("T")


class ReadingTurns:
    """One thread of its own: nothing else in the process waits for what is read here."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._busy = False

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """What `work` returns for a document of `size` bytes; a 503 problem if too many wait."""
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
        working = asyncio.get_running_loop().run_in_executor(self._thread, work)
        # Not when the request ends: a thread cannot be stopped.
        working.add_done_callback(lambda _: self._next())
        return await asyncio.shield(working)

    def close(self) -> None:
        """Take nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        self._busy = False
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._busy = True
                turn.set_result(None)
                return
