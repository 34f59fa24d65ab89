"""When the next beat begins (`docs/sender.md`)."""

import asyncio
from collections.abc import Callable
from typing import Final

from broadcast.clock import monotonic

SLOW_SECONDS: Final = 0.25
"""A beat that takes longer holds up new submits until it is done."""


class Rhythm:
    """Beats about `busy_seconds` apart while there is something to say, at once when asked, else by `idle_seconds`."""

    def __init__(self, busy_seconds: float, idle_seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._busy: Final = busy_seconds
        self._idle: Final = idle_seconds
        self._clock: Final = clock
        self._something: Final = asyncio.Event()
        self._at_once: Final = asyncio.Event()
        self._began_at = clock()
        self._beating = False

    def note(self) -> None:
        """There is something to say."""
        self._something.set()

    def hurry(self) -> None:
        """What is in doubt, or the horizon, wants the next beat now."""
        self._something.set()
        self._at_once.set()

    async def wait(self, *, watchful: bool = False) -> bool:
        """Until there is something to say and the last beat is `busy_seconds` ago; False when there is nothing.

        It comes back without anything when an idle beat is due, and if `watchful` after `busy_seconds`.
        """
        idle = self._began_at + self._idle - self._clock()
        if not await _within(self._something, min(idle, self._busy) if watchful else idle):
            return False
        await _within(self._at_once, self._began_at + self._busy - self._clock())
        return True

    @property
    def idle(self) -> bool:
        """Whether the last beat is so long ago that one is due with nothing new to say."""
        return self._clock() - self._began_at >= self._idle

    def begin(self) -> None:
        """A beat begins."""
        self._began_at = self._clock()
        self._beating = True

    def take(self) -> None:
        """The beat has what it carries: what is noted from here on is for the next."""
        self._something.clear()
        self._at_once.clear()

    def end(self) -> None:
        """The beat is done."""
        self._beating = False

    @property
    def slow(self) -> bool:
        """Whether the beat under way has taken too long to write on."""
        return self._beating and self._clock() - self._began_at > SLOW_SECONDS


async def _within(event: asyncio.Event, seconds: float) -> bool:
    if event.is_set():
        return True
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
