"""Requests with a key: each waits for its turn, and what it takes of the event loop is measured."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import asynccontextmanager
from types import coroutine
from typing import Any

from broadcast.api.connections.key_turns import Charge, Flow, KeyTurns
from broadcast.clock import monotonic


class Turn:
    """One turn. `seconds` is the processor time of what was done in it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self, work: Awaitable[None]) -> None:
        """Do the work of a request, and measure it without what others do while it waits."""
        await self._measure(work.__await__())

    @coroutine
    def _measure(self, work: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        given: Any = None
        error: BaseException | None = None
        while True:
            began = time.thread_time()
            try:
                awaited = work.send(given) if error is None else work.throw(error)
            except StopIteration:
                return
            finally:
                self.seconds += time.thread_time() - began
            given, error = None, None
            try:
                given = yield awaited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as raised:
                error = raised


class KeyedRequests:
    """The turns of `KeyTurns`, in the event loop of the API."""

    def __init__(self) -> None:
        self._turns: KeyTurns[asyncio.Future[Charge]] = KeyTurns()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, flow: Flow) -> AsyncIterator[Turn]:
        """Wait for a turn of this key and kind, and have it while the context is open."""
        begun: asyncio.Future[Charge] = asyncio.get_running_loop().create_future()
        self._turns.wait(begun, flow)
        self._begin()
        turn = Turn()
        try:
            charge = await begun
        except asyncio.CancelledError:
            # One that still waits is passed over when its turn comes.
            if begun.done() and not begun.cancelled():
                self._end(begun.result(), turn)
            raise
        try:
            yield turn
        finally:
            self._end(charge, turn)

    def _end(self, charge: Charge, turn: Turn) -> None:
        self._turns.end(charge, monotonic(), turn.seconds)
        self._begin()

    def _begin(self) -> None:
        while begun := self._turns.begin(monotonic()):
            for charge, waiter in begun:
                if waiter.done():
                    self._turns.end(charge, monotonic(), 0.0)
                else:
                    waiter.set_result(charge)
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._turns.begins_in(monotonic())
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._begin)
