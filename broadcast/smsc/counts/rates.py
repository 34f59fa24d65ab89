"""Submits in a sliding second, as an SMSC that limits rates counts them."""

from collections import deque
from collections.abc import Callable
from typing import Final

SECOND: Final = 1.0


class SlidingRate:
    """Counts within the last second; `highest` is the most that any second had."""

    __slots__ = ("_counts", "_total", "highest")

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._total = 0
        self.highest = 0

    def add(self, now: float, count: int) -> int:
        """Count `count` at `now`; returns how many the second that ends now has."""
        total = self.total(now) + count
        self._counts.append((now, count))
        self._total = total
        self.highest = max(self.highest, total)
        return total

    def total(self, now: float) -> int:
        """How many the second that ends now has."""
        counts = self._counts
        while counts and counts[0][0] <= now - SECOND:
            self._total -= counts.popleft()[1]
        return self._total


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
            times = self._counts[number] = deque()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now)
        return True
