"""The probe of a stopped account: what it may take, and whether its answers are enough to decide. Pure.

`now` is monotonic seconds.
"""

from collections import Counter
from typing import Final

from broadcast.sending.accounts.health.contents import Content

PROBE_ANSWERS: Final = 5
"""Answers to a probe that are enough to decide on it."""

NOTHING_MORE_SECONDS: Final = 5.0
"""When nothing else comes to be sent for so long, one message that was answered after silence decides."""

FAULT_SHARE: Final = 0.5
"""From this share of faults on, among answers that count, the account does not work."""


class Probe:
    """A few submits to an account that was stopped, and the answers to them.

    `segments` is its size: at least the segments of the longest message. `one_first`: it begins with one message,
    because submits were left unanswered. `avoided` is the message that the probe before began with.
    """

    def __init__(self, segments: int) -> None:
        self.one_first = False
        self.avoided: Content | None = None
        self._segments: Final = segments
        self._first: Content | None = None
        self._written = self._answers = self._faults = 0
        self._first_answered_at = float("inf")

    def begin(self) -> None:
        """Begin anew: nothing is written."""
        self._written = self._answers = self._faults = 0
        self._first_answered_at = float("inf")
        self.avoided, self._first = self._first or self.avoided, None

    def forget(self) -> None:
        """Forget with which message it began: the account works."""
        self.avoided = self._first = None

    @property
    def untouched(self) -> bool:
        """Whether nothing of it is written yet."""
        return not self._written

    @property
    def one_message(self) -> bool:
        """Whether only one message may be written now."""
        return self.one_first and not self._written

    @property
    def room(self) -> int:
        """How many more segments it may take."""
        return 0 if self.one_first and self._written else max(0, self._segments - self._written)

    def note_message(self, content: Content) -> None:
        """Note the message of submits that are to be written."""
        if not self._written:
            self._first = content

    def note_written(self, segments: int) -> None:
        """Note that so many segments were written."""
        self._written += segments

    def note_answers(self, answers: int, faults: int, now: float, *, all_count: bool) -> bool:
        """Note answers that came together; whether they are enough to decide.

        `all_count`: where one message is refused, the others of the probe decide.
        """
        self._answers += answers
        self._faults += faults
        if self.one_first and 0 < self._written <= self._answers and not self._faults:
            self.one_first, self._first_answered_at = False, now
            self._written = self._answers = 0
            return False
        wanted = self._written if all_count and self._faults else min(PROBE_ANSWERS, self._written)
        return bool(self._written) and self._answers >= wanted

    def is_over(self, now: float) -> bool:
        """Whether its one message was answered well, and for `NOTHING_MORE_SECONDS` there was no more to send."""
        return not self._written and now - self._first_answered_at >= NOTHING_MORE_SECONDS

    @property
    def failed(self) -> str:
        """What its answers say against the account; empty if they are good."""
        if self._faults < FAULT_SHARE * self._answers:
            return ""
        return f"{self._faults} of {self._answers} submits of a probe failed"


class ProbeShares:
    """How much of each message a probe takes: half of `room`, so that others are in it too.

    It begins with another message than the probe before, where there is one, until `avoid_none` is called.
    """

    def __init__(self, probe: Probe, room: int) -> None:
        self._most: Final = 1 if probe.one_message else (room + 1) // 2
        self._one: Final = probe.one_message
        self._avoided = probe.avoided if probe.untouched else None
        self._taken: Final[Counter[Content]] = Counter()

    @property
    def avoiding(self) -> bool:
        """Whether a message is left out for now."""
        return self._avoided is not None

    def avoid_none(self) -> None:
        """Take any message from now on."""
        self._avoided = None

    def left_for(self, content: Content) -> int:
        """The segments that may still be taken of a message; a begun message is taken whole."""
        if content == self._avoided or (self._one and self._taken):
            return 0
        return max(0, self._most - self._taken[content])

    def take(self, content: Content, segments: int) -> None:
        """So many segments of a message are taken."""
        self._taken[content] += segments
