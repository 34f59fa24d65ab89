"""Sequence numbers: one counter for all request types of a bind (SMPP 3.4, 5.1.4)."""

from collections.abc import Callable, Sequence
from typing import Final

FIRST: Final = 1
LAST: Final = 0x7FFFFFFF


class SequenceCounter:
    """Counts from 1 to 0x7FFFFFFF and begins again at 1, without the numbers that are still in use."""

    __slots__ = ("_next", "_wrapped")

    def __init__(self, start: int = FIRST) -> None:
        if not FIRST <= start <= LAST:
            raise ValueError(f"start {start} is not within {FIRST} and {LAST}")
        self._next = start
        self._wrapped = start != FIRST

    def take(self, count: int, in_use: Callable[[int], bool]) -> Sequence[int]:
        """The next `count` numbers of which `in_use` says no.

        Before the first wrap nothing can be in use, so it is not asked.
        """
        start = self._next
        if not self._wrapped and start + count - 1 <= LAST:
            self._next = start + count
            if self._next > LAST:
                self._next, self._wrapped = FIRST, True
            return range(start, start + count)
        self._wrapped = True
        numbers: list[int] = []
        while len(numbers) < count:
            if not in_use(start):
                numbers.append(start)
            start = FIRST if start == LAST else start + 1
        self._next = start
        return numbers
