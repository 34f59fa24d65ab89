"""Requests without a valid key: each waits for its turn, or is refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcast.api.connections.anonymous_turns import AnonymousTurns
from broadcast.clock import monotonic


class AnonymousRequests:
    """The turns of `AnonymousTurns`, in the event loop of the API."""

    def __init__(self) -> None:
        self._turns: AnonymousTurns[asyncio.Future[bool]] = AnonymousTurns()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[bool]:
        """Wait for the turn and have it while the context is open; false: too many wait.

        What is done in a turn must not wait for the client: all others wait for it.
        """
        begun = asyncio.get_running_loop().create_future()
        refused = self._turns.wait(begun, address)
        if refused is not None and not refused.done():
            refused.set_result(False)
        self._begin()
        try:
            has_turn = await begun
        except asyncio.CancelledError:
            if begun.done() and not begun.cancelled() and begun.result():
                self._end(0.0)
            raise
        if not has_turn:
            yield False
            return
        began = time.thread_time()
        try:
            yield True
        finally:
            self._end(time.thread_time() - began)

    def _end(self, seconds: float) -> None:
        self._turns.end(monotonic(), seconds)
        self._begin()

    def _begin(self) -> None:
        while (waiter := self._turns.begin(monotonic())) is not None:
            if not waiter.done():
                waiter.set_result(True)
                break
            self._turns.end(monotonic(), 0.0)
        seconds = self._turns.begins_in(monotonic())
        if seconds is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._begin()
