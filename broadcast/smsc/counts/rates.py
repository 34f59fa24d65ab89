"""Submits in a sliding second, as an SMSC that limits rates counts them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

SECOND: Final = 1.0
LOOK_SECONDS: Final = 0.01
_SLICES: Final = 16
_NUMBERS_KEPT: Final = 100_000


class SlidingRate:
    """Counts within the last second; `highest` is the most that any second had."""

    __slots__ = ("_counts", "_total", "highest")

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._total = 0
        self.highest = 0

    def add(self, now: float, count: int) -> int:
        """Count `count` at `now`; returns how many the second that ends now has."""
        counts = self._counts
        if counts and counts[0][0] <= now - SECOND:
            self.total(now)
        counts.append((now, count))
        total = self._total = self._total + count
        if total > self.highest:  # noqa: PLR1730 - for each buffer that is read
            self.highest = total
        return total

    def spread(self, since: float, now: float, count: int) -> int:
        """Count `count` that came at some time between `since` and `now`, as if evenly."""
        self.total(since)
        for number in range(1, _SLICES + 1):
            share = count * number // _SLICES - count * (number - 1) // _SLICES
            self._counts.append((since + (now - since) * number / _SLICES, share))
        self._total += count
        total = self.total(now)
        self.highest = max(self.highest, total)
        return total

    def total(self, now: float) -> int:
        """How many the second that ends now has."""
        counts = self._counts
        while counts and counts[0][0] <= now - SECOND:
            self._total -= counts.popleft()[1]
        return self._total


class LoopWatch:
    """Knows since when the event loop has not run.

    What is read after a pause came at some time in it, so that it is no burst of the client. It looks every hundredth
    of a second, while it is asked.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now: Final = now
        self._looked_at = 0.0
        self._asked_at = 0.0
        self._looking = False

    def paused_since(self) -> float | None:
        """When the pause that has just ended began; None: there was none."""
        now = self._asked_at = self._now()
        if not self._looking:
            self._looking = True
            self._look()
            return None
        return self._looked_at if now - self._looked_at > 2 * LOOK_SECONDS else None

    def _look(self) -> None:
        self._looked_at = self._now()
        self._looking = self._looked_at - self._asked_at < SECOND
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class NumberRates:
    """Submits to each number within some seconds, for SMSCs that limit each number."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now: Final = now
        self._counts: dict[int, deque[float]] = {}

    def admit(self, number: int, limit: int, seconds: float) -> bool:
        """Count a submit to this number, unless it already had `limit` within the last `seconds`."""
        now = self._now()
        times = self._counts.get(number)
        if times is None:
            if len(self._counts) >= _NUMBERS_KEPT:
                self._counts = {each: kept for each, kept in self._counts.items() if kept[-1] > now - seconds}
            times = self._counts[number] = deque()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now)
        return True
