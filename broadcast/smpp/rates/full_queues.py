"""When RMSGQFUL speaks of the SMSC, and not of the queue of one phone. `now` is passed in."""

from collections.abc import Hashable, Sequence
from typing import Final

LOOK_SECONDS: Final = 1.0
"""Answers of so long are looked at together."""
LEAST_NUMBERS: Final = 20
LEAST_SHARE: Final = 0.25
"""So many different numbers, and such a share of all answers, say that the SMSC is full."""
KNOWN_SECONDS: Final = 600.0
"""A number that is tried again within this time says nothing new."""
KNOWN_LIMIT: Final = 20_000


class FullQueues:
    """Counts different numbers with full queues. A number that had one lately says nothing about the SMSC."""

    __slots__ = ("_answers", "_began_at", "_known", "_new")

    def __init__(self) -> None:
        self._known: dict[Hashable, float] = {}
        self._began_at = float("-inf")
        self._answers = 0
        self._new = 0

    def count_congested(self, answers: int, numbers: Sequence[Hashable], now: float) -> int:
        """How many of `answers` count as throttled; `numbers` are the destinations of those that were RMSGQFUL."""
        if now - self._began_at >= LOOK_SECONDS:
            self._began_at, self._answers, self._new = now, 0, 0
        self._answers += answers
        if not numbers:
            return 0
        new = self._count_new(numbers, now)
        self._new += new
        if self._new < LEAST_NUMBERS or self._new < LEAST_SHARE * self._answers:
            return 0
        return new

    def _count_new(self, numbers: Sequence[Hashable], now: float) -> int:
        known, new = self._known, 0
        for number in numbers:
            # Taken out and put in again, so that the order is that of the last time.
            if now - known.pop(number, float("-inf")) >= KNOWN_SECONDS:
                new += 1
            known[number] = now
        while len(known) > KNOWN_LIMIT:
            del known[next(iter(known))]
        return new
