"""What a client does against SMPP 3.4 or against the limits of its account, counted by account and kind."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

EXAMPLES_KEPT: Final = 3
_SEQUENCE_LAST: Final = 0x7FFFFFFF
_WRAP_RANGE: Final = 1_000_000


class Violation(StrEnum):
    """The kinds; each is explained in docs/simulator.md."""

    WINDOW_EXCEEDED = "window_exceeded"
    RATE_EXCEEDED = "rate_exceeded"
    SEQUENCE_ZERO = "sequence_zero"
    SEQUENCE_REUSED = "sequence_reused"
    SEQUENCE_NOT_ASCENDING = "sequence_not_ascending"
    PARTS_OVER_BINDS = "parts_over_binds"
    PARTS_OVER_ACCOUNTS = "parts_over_accounts"
    PART_WITHOUT_FIRST = "part_without_first"
    VALIDITY_MISSING = "validity_missing"
    SUBMIT_UNBOUND = "submit_unbound"
    SUBMIT_ON_RECEIVER = "submit_on_receiver"
    SUBMIT_AFTER_UNBIND = "submit_after_unbind"
    BIND_TWICE = "bind_twice"
    MODE_NOT_ALLOWED = "mode_not_allowed"
    UNKNOWN_COMMAND = "unknown_command"
    UNREADABLE = "unreadable"
    ANSWER_UNEXPECTED = "answer_unexpected"
    ANSWER_OF_WRONG_TYPE = "answer_of_wrong_type"
    ENQUIRE_LINK_UNANSWERED = "enquire_link_unanswered"
    UDH_AND_SAR = "udh_and_sar"
    TEXT_AND_PAYLOAD = "text_and_payload"
    SOURCE_TOO_LONG = "source_too_long"
    DESTINATION_TOO_LONG = "destination_too_long"
    VALIDITY_MALFORMED = "validity_malformed"


class Example(msgspec.Struct, frozen=True):
    """One violation: when (seconds after the start), by whom, and what exactly."""

    kind: Violation
    account: str
    bind: int
    at_seconds: float
    detail: str


class Violations:
    """Counts by account and kind, and keeps the first examples of each."""

    def __init__(self) -> None:
        self._by_account: defaultdict[str, Counter[Violation]] = defaultdict(Counter)
        self.examples: list[Example] = []

    @property
    def total(self) -> int:
        """All of them."""
        return sum(counter.total() for counter in self._by_account.values())

    def add(self, example: Example, count: int = 1) -> None:
        """Count `count` violations, of which this is one."""
        counter = self._by_account[example.account]
        counter[example.kind] += count
        kept = sum((each.account, each.kind) == (example.account, example.kind) for each in self.examples)
        if kept < EXAMPLES_KEPT:
            self.examples.append(example)

    def by_kind(self) -> dict[str, int]:
        """Counts of all accounts together."""
        merged: Counter[str] = Counter()
        for counter in self._by_account.values():
            merged.update({str(kind): count for kind, count in counter.items()})
        return dict(merged)

    def of_account(self, account: str) -> dict[str, int]:
        """Counts of one account."""
        found: Mapping[Violation, int] = self._by_account.get(account, {})
        return {str(kind): count for kind, count in found.items()}


class SequenceWatch:
    """The sequence numbers of the requests of one session, which ascend from 1 to 0x7FFFFFFF and wrap (5.1.4)."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def ascend(self, sequences: Sequence[int], *, each: bool = True) -> bool:
        """Take the next numbers; False when they are not consecutive or not within 1 and 0x7FFFFFFF.

        Without `each` their ends and their sum are compared only, at a third of the cost.
        """
        first, last, count = sequences[0], sequences[-1], len(sequences)
        if first <= self._last or last > _SEQUENCE_LAST or last - first != count - 1:
            return False
        if count > 2 and (
            tuple(sequences) != tuple(range(first, last + 1)) if each else sum(sequences) * 2 != count * (first + last)
        ):
            return False
        self._last = last
        return True

    def check_each(self, sequences: Sequence[int]) -> list[int]:
        """Take numbers that `ascend` did not; returns those that are not above the one before, 0 among them."""
        wrong = []
        for sequence in sequences:
            wrapped = self._last > _SEQUENCE_LAST - _WRAP_RANGE and 0 < sequence < _WRAP_RANGE
            if not 0 < sequence <= _SEQUENCE_LAST or (sequence <= self._last and not wrapped):
                wrong.append(sequence)
            else:
                self._last = sequence
        return wrong


class PartWatch:
    """Which binds were sent the first part of a long message to which numbers.

    A copy of a message travels whole: a later part on a bind that was not sent the first one cannot be joined to it
    by an SMSC that works by bind.
    """

    def __init__(self) -> None:
        # (reference, parts) to bind number to destinations.
        self._firsts: defaultdict[tuple[int, int], dict[int, set[int]]] = defaultdict(dict)

    def add_first(self, message: tuple[int, int], bind: int, destinations: Sequence[int]) -> None:
        """First parts to these destinations were written to this bind."""
        binds = self._firsts[message]
        numbers = binds.get(bind)
        if numbers is None:
            numbers = binds[bind] = set()
        numbers.update(destinations)

    def missing_first(self, message: tuple[int, int], bind: int, destinations: Sequence[int]) -> list[int]:
        """The destinations whose first part was not written to this bind."""
        numbers = self._firsts[message].get(bind)
        if numbers is not None and numbers.issuperset(destinations):
            return []
        return [each for each in destinations if numbers is None or each not in numbers]

    def binds_with_first(self, message: tuple[int, int], destination: int) -> list[int]:
        """The binds that were sent the first part to this destination."""
        return [bind for bind, numbers in self._firsts[message].items() if destination in numbers]
