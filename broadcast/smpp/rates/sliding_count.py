"""How many events the last moments had, and the highest value, in bounded memory. `now` is passed in."""

from collections import deque
from typing import Final

SLOT_SECONDS: Final = 0.005
"""Events so close together are kept as one, at the time of the last."""


class SlidingCount:
    """Counts events within the last `span_seconds`; one may count up to `SLOT_SECONDS` longer, never shorter."""

    __slots__ = ("_slot_began", "_slots", "_span", "_total")

    def __init__(self, span_seconds: float) -> None:
        self._span: Final = span_seconds
        # [time of the last event, events]
        self._slots: deque[list[float]] = deque()
        self._slot_began = 0.0
        self._total = 0

    def add(self, count: int, now: float) -> None:
        """Count so many events at `now`, which never goes back."""
        slots = self._slots
        self._total += count
        if slots and now - self._slot_began < SLOT_SECONDS:
            slots[-1][0] = now
            slots[-1][1] += count
            return
        self._slot_began = now
        slots.append([now, count])
        self._forget(now)

    def total(self, now: float) -> int:
        """Events within the last span."""
        self._forget(now)
        return self._total

    def below_at(self, limit: int, now: float) -> float:
        """When the total will be `limit` or less without more events; `now` when it is."""
        excess = self.total(now) - limit
        if excess <= 0:
            return now
        for at, count in self._slots:
            excess -= int(count)
            if excess <= 0:
                return at + self._span
        return now + self._span

    def _forget(self, now: float) -> None:
        slots, oldest = self._slots, now - self._span
        while slots and slots[0][0] <= oldest:
            self._total -= int(slots.popleft()[1])


class SlidingHighest:
    """The highest of what was noted lately: within the last `span_seconds`, or at least a third of it."""

    __slots__ = ("_before", "_began_at", "_newest", "_third")

    def __init__(self, span_seconds: float) -> None:
        self._third: Final = span_seconds / 3
        self._began_at = float("-inf")
        self._newest = self._before = 0

    def note(self, value: int, now: float) -> None:
        """Note a value at `now`, which never goes back."""
        self._turn(now)
        self._newest = max(self._newest, value)

    def value(self, now: float) -> int:
        """The highest; 0 for none."""
        self._turn(now)
        return max(self._newest, self._before)

    def _turn(self, now: float) -> None:
        elapsed = now - self._began_at
        if elapsed >= self._third:
            self._before = self._newest if elapsed < 2 * self._third else 0
            self._began_at, self._newest = now, 0
