"""How often each destination was sent each text; destinations are integers, so that a million fit in 100 MB."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class TextKey(NamedTuple):
    """Two submits to one destination with equal keys are copies: text without UDH, and segment number (from 1)."""

    digest: bytes
    segment: int


class SubmitCounts:
    """Counts the submits that the SMSC took (accepted, or taken without an answer), as a phone would see them."""

    def __init__(self) -> None:
        self._by_text: dict[TextKey, Counter[int]] = {}
        # While a segment number has one text only, both tables share one counter.
        self._by_segment: dict[int, Counter[int]] = {}
        self._total = 0

    def add(self, key: TextKey, destinations: Sequence[int]) -> None:
        """Count one submit of the text to each destination."""
        self._total += len(destinations)
        counter = self._by_text.get(key)
        if counter is None:
            counter = self._add_counter(key)
        counter.update(destinations)
        merged = self._by_segment[key.segment]
        if merged is not counter:
            merged.update(destinations)

    def add_one(self, key: TextKey, destination: int) -> None:
        """Count one submit of the text to one destination."""
        self._total += 1
        counter = self._by_text.get(key)
        if counter is None:
            counter = self._add_counter(key)
        counter[destination] = counter.get(destination, 0) + 1
        merged = self._by_segment[key.segment]
        if merged is not counter:
            merged[destination] = merged.get(destination, 0) + 1

    def _add_counter(self, key: TextKey) -> Counter[int]:
        shared = self._by_segment.get(key.segment)
        counter: Counter[int] = Counter()
        self._by_text[key] = counter
        if shared is None:
            self._by_segment[key.segment] = counter
        elif any(shared is each for other, each in self._by_text.items() if other != key):
            self._by_segment[key.segment] = shared.copy()
        return counter

    def count(self, key: TextKey, destination: int) -> int:
        """How often this text was taken for this destination."""
        counter = self._by_text.get(key)
        return counter.get(destination, 0) if counter is not None else 0

    @property
    def unique_destinations(self) -> int:
        """Distinct destinations: the largest count of any segment number, which is that of the first segments."""
        return max((len(counter) for counter in self._by_segment.values()), default=0)

    @property
    def duplicates(self) -> int:
        """Submits beyond the first for the same destination, text and segment."""
        return self._total - sum(len(counter) for counter in self._by_text.values())

    @property
    def repeats(self) -> int:
        """Submits beyond the first for the same destination and segment, whatever the text."""
        return self._total - sum(len(counter) for counter in self._by_segment.values())

    def repeated(self, minimum: int) -> dict[int, int]:
        """Destinations that were sent one text (one segment of it) at least `minimum` times, with the highest count."""
        found: dict[int, int] = {}
        for counter in self._by_text.values():
            if minimum > 1 and counter.total() == len(counter):
                continue
            for destination, count in counter.items():
                if count >= minimum:
                    found[destination] = max(count, found.get(destination, 0))
        return found

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Every destination with its number of messages (highest count of any segment).

        Counting may go on while the iterator is in use.
        """
        counters = list(self._by_segment.values())
        for position, counter in enumerate(counters):
            for destination in array("Q", counter):
                if not any(destination in earlier for earlier in counters[:position]):
                    yield destination, max(each[destination] for each in counters[position:])
