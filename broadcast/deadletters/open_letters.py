"""How many dead letters somebody is still to look at, by topic."""

from array import array
from collections import Counter
from typing import Any, Final

from broadcast.deadletters.letters import is_note, noted_offset, read_letter
from broadcast.deadletters.reading import open_log
from broadcast.settings import Settings

TOPICS_MAX: Final = 1_000
"""Topics that are told apart: whoever may write dead letters may name any number."""

OTHER_TOPICS: Final = "other topics"


class LetterCounts:
    """Of each offset the topic of its letter, as a number of two bytes, while the letter is open. Pure."""

    def __init__(self) -> None:
        self.next = 0
        self.by_topic: Final[Counter[str]] = Counter()
        self._begin = 0
        self._topics: Final[list[str]] = [""]
        self._numbers: Final[dict[str, int]] = {}
        self._open = array("H")

    def begin_at(self, begin: int, end: int) -> None:
        """The log goes from `begin` to before `end` now; letters before it are deleted."""
        if end < self.next:  # Kafka's data is not what it was
            self._cut(len(self._open))
            self._begin = self.next = begin
        self._cut(min(begin - self._begin, len(self._open)))
        self._begin = max(begin, self._begin)
        self.next = max(begin, self.next)

    def apply(self, record: Any) -> None:
        """Take in the next record."""
        self._open.extend([0] * (record.offset + 1 - self._begin - len(self._open)))
        if is_note(record):
            offset = noted_offset(record)
            if offset is not None and offset >= self._begin:
                self._close(offset - self._begin)
        else:
            topic = read_letter(record).letter.topic
            number = self._number_of(topic)
            self._open[record.offset - self._begin] = number
            self.by_topic[self._topics[number]] += 1

    def _number_of(self, topic: str) -> int:
        if topic not in self._numbers:
            topic = topic if len(self._numbers) < TOPICS_MAX else OTHER_TOPICS
            if topic not in self._numbers:
                self._numbers[topic] = len(self._topics)
                self._topics.append(topic)
        return self._numbers[topic]

    def _close(self, place: int) -> None:
        topic = self._topics[self._open[place]]
        self._open[place] = 0
        if topic:
            self.by_topic[topic] -= 1
            if not self.by_topic[topic]:
                del self.by_topic[topic]

    def _cut(self, count: int) -> None:
        for place in range(count):
            self._close(place)
        del self._open[: max(0, count)]


class OpenLetters:
    """The counts of a running process; each `count` reads only what is new."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._counts: Final = LetterCounts()

    async def count(self) -> Counter[str]:
        """The numbers as they are now."""
        counts = self._counts
        async with open_log(self._settings) as log:
            counts.begin_at(log.begin, log.end)
            async for record in log.read(counts.next):
                counts.apply(record)
                counts.next = record.offset + 1
        counts.next = max(counts.next, log.end)
        return Counter(counts.by_topic)
