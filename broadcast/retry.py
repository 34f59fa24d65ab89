"""Trying again: one growing pause with jitter, and one log event for a server that is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias, TypeVar

import structlog

T = TypeVar("T")

Service: TypeAlias = Literal["kafka", "postgresql"]
Away: TypeAlias = tuple[type[BaseException], ...]
"""Errors that mean that a server is away: `kafka.clients.AWAY`, `database.pool.AWAY`."""

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 1.0
"""Work goes on at most that long after the server is back; an attempt each second is no load for it."""
GROWTH: Final = 2.0
LEAST_SHARE: Final = 0.5
"""The smallest part of a pause that jitter leaves: processes that lost the same server do not return together."""

log = structlog.get_logger(__name__)


class Backoff:
    """Pauses between attempts: each is `growth` times the one before, at most `longest_seconds`.

    Jitter takes up to half of each. `reset` after an attempt that succeeded.
    """

    def __init__(
        self,
        *,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        growth: float = GROWTH,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first: Final = min(first_seconds, longest_seconds)
        self._longest: Final = longest_seconds
        self._growth: Final = growth
        self._sleep: Final = sleep
        self._uniform: Final = uniform
        self._next = self._first

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next = self._first

    def next_seconds(self) -> float:
        """The next pause in seconds, with jitter; the one after it is longer."""
        seconds = self._next * self._uniform(LEAST_SHARE, 1.0)
        self._next = min(self._next * self._growth, self._longest)
        return seconds

    async def sleep(self, *, at_most: float | None = None) -> None:
        """Pause without a log line, for at most so many seconds."""
        seconds = self.next_seconds()
        await self._sleep(seconds if at_most is None else min(seconds, at_most))

    async def wait(
        self, service: Service, what: str, error: BaseException, *, at_most: float | None = None, **facts: object
    ) -> None:
        """Log `service_awaited`, then pause. `what` names who waits; `facts` are more fields of the line."""
        seconds = self.next_seconds()
        seconds = seconds if at_most is None else min(seconds, at_most)
        log.warning(
            "service_awaited",
            service=service,
            what=what,
            error=repr(error),
            pause_seconds=round(seconds, 3),
            **facts,
        )
        await self._sleep(seconds)


async def retry(
    what: str, action: Callable[[], Awaitable[T]], *, service: Service, away: Away, pause: Backoff | None = None
) -> T:
    """Do `action` until it succeeds: after an error of `away` again, after a pause; other errors pass."""
    pause = pause or Backoff()
    while True:
        try:
            return await action()
        except away as error:
            await pause.wait(service, what, error)
