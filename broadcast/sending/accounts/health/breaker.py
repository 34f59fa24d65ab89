"""The breaker of an account: it gets no work while the SMSC refuses the account or does not answer. Pure.

`now` is monotonic seconds.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from broadcast.sending.accounts.health.contents import CONTENTS_LIMIT, Content, RefusedContents
from broadcast.sending.accounts.health.probe import FAULT_SHARE, Probe
from broadcast.smpp.rates.pacing import UNLIMITED


class State(StrEnum):
    """Closed: all work. Open: none until the pause is over. Half open: a few submits as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(StrEnum):
    """What changes the state of a breaker."""

    FAULT = "fault"
    PAUSE_OVER = "pause_over"
    PROBE_ACCEPTED = "probe_accepted"


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.CLOSED, Event.FAULT): State.OPEN,
    (State.OPEN, Event.FAULT): State.OPEN,
    (State.OPEN, Event.PAUSE_OVER): State.HALF_OPEN,
    (State.HALF_OPEN, Event.FAULT): State.OPEN,
    (State.HALF_OPEN, Event.PROBE_ACCEPTED): State.CLOSED,
}
"""The state after an event; an event without a line changes nothing."""

LEAST_ANSWERS: Final = 20
"""Recent answers below which their share says nothing."""

RECENT_ANSWERS: Final = 40
"""So many answers count at most, and those before the newest batch as half of them at most.

So an account that has begun to refuse is found within a few answers. Of a larger batch the share counts.
"""

LEAST_NUMBERS: Final = 10
"""Different numbers that must be refused: one number that comes back again and again is not the account."""

LEAST_MUTE: Final = 3
"""Unanswered submits of a mute session below which only these answers were lost: the next session may be good."""

LOSSES: Final = 3
"""Sessions that end with unanswered submits, one after the other, before the account counts as dead."""

SETTLING_ANSWERS: Final = 100
"""Answers without a fault after which earlier losses of sessions are forgotten."""

LOSS_SECONDS: Final = 1.0
"""Sessions that end within so long of one another are one loss: an SMSC that restarts ends them all."""

THROTTLED_SECONDS: Final = 5.0
"""An account that has throttled every submit for so long is stopped, if another account gets work."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0

STEADY_SECONDS: Final = 60.0
"""Closed for so long, the pauses begin with the shortest again."""


class Breaker:
    """Decides whether an account gets work. `reason` says why it is not closed, `mute` whether that is silence.

    `only_account`: no other account of the route works. Then one message that it refuses while it takes others does not
    stop it: those would have no other way. `contents` are the messages of recent answers, noted while there are faults.
    `probe` is what it takes while it is half open.
    """

    def __init__(self, probe_segments: int) -> None:
        self.state = State.CLOSED
        self.reason = ""
        self.mute = False
        self.next_probe_at = 0.0
        self.only_account = False
        self.contents: Final = RefusedContents()
        self._spared: set[Content] = set()
        self._spared_newest: Content | None = None
        self.probe: Final = Probe(probe_segments)
        self._numbers: set[str] = set()
        self._answers = self._faults = 0.0
        self._losses, self._lost_at, self._without_fault = 0, float("-inf"), 0
        self._openings, self._closed_at = 0, float("-inf")
        self._throttled_since: float | None = None

    @property
    def room(self) -> int:
        """How many segments may be written, as far as the breaker is concerned."""
        if self.state is State.CLOSED:
            return UNLIMITED
        return 0 if self.state is State.OPEN else self.probe.room

    @property
    def numbers_wanted(self) -> bool:
        """Whether it is to be told which numbers were refused."""
        return len(self._numbers) < LEAST_NUMBERS

    def take_spared(self) -> Content | None:
        """A message that would have stopped the account, for the first time; then None."""
        newest, self._spared_newest = self._spared_newest, None
        return newest

    def tick(self, now: float) -> bool:
        """Begin a probe when the pause is over; whether one began."""
        if self.state is State.HALF_OPEN and self.probe.is_over(now):
            # There is no more to send: the one message is all that can be known.
            self._close(now)
        if self.state is not State.OPEN or now < self.next_probe_at:
            return False
        self.probe.begin()
        self._move(Event.PAUSE_OVER)
        return True

    def note_answers(self, answers: int, faults: int, numbers: Iterable[str], reason: str, now: float) -> None:
        """Note answers that came together, and how many of them were faults of the account.

        `numbers` are those of the faults, `reason` is the most frequent one. A submit that is given up, though its
        session goes on, is a fault too.
        """
        if self.state is State.HALF_OPEN:
            self._assess_probe(answers, faults, reason, now)
            return
        self._without_fault = self._without_fault + answers if not faults else 0
        if self._without_fault >= SETTLING_ANSWERS:
            self._losses = 0
        newest = min(answers, RECENT_ANSWERS)
        older = min(self._answers, RECENT_ANSWERS / 2, RECENT_ANSWERS - newest)
        self._faults = self._faults * older / max(self._answers, 1) + faults * newest / max(answers, 1)
        self._answers = older + newest
        if not faults:
            if self._faults < 1:
                self._numbers.clear()
                self.contents.clear()
            return
        self._numbers.update(numbers)
        enough = self._answers >= LEAST_ANSWERS and len(self._numbers) >= LEAST_NUMBERS
        if enough and self._faults >= FAULT_SHARE * self._answers and not self._spare(now):
            failed = f"{self._faults:.0f} of the last {self._answers:.0f} submits failed because of the account"
            self._open(f"{failed}, most of them with: {reason}", now)

    def note_throttled(self, answers: int, throttled: int, now: float) -> None:
        """Note answers that came together, and how many were throttled; a probe that is throttled has failed."""
        if throttled < answers:
            self._throttled_since = None
        elif self._throttled_since is None:
            self._throttled_since = now
        if throttled == answers and self.state is State.HALF_OPEN:
            self._open("the SMSC throttles the probe", now)

    def throttles_all(self, now: float) -> bool:
        """Whether the SMSC has throttled every submit for `THROTTLED_SECONDS`."""
        return self._throttled_since is not None and now - self._throttled_since >= THROTTLED_SECONDS

    def stop_throttled(self, now: float) -> None:
        """Stop an account that throttles all; only where another one gets work, for a lone one the rate is enough."""
        if self.state is State.CLOSED:
            self._open(f"the SMSC has throttled every submit for {THROTTLED_SECONDS:g} s", now)

    def note_loss(self, reason: str, now: float, *, unanswered: int, mute: bool) -> None:
        """Note that a session ended with so many unanswered submits; `mute` says that it was closed for their sake."""
        if mute and (unanswered >= LEAST_MUTE or self.state is State.HALF_OPEN):
            self._open(reason, now, mute=True, one_first=True)
            return
        if now - self._lost_at > LOSS_SECONDS:
            self._losses += 1
        self._lost_at, self._without_fault = now, 0
        if self._losses >= LOSSES or self.state is State.HALF_OPEN:
            self._open(f"sessions end before submits are answered, the last one: {reason}", now, one_first=True)

    def _assess_probe(self, answers: int, faults: int, reason: str, now: float) -> None:
        if not self.probe.note_answers(answers, faults, now, all_count=self.only_account):
            return
        if (failed := self.probe.failed) and not self._spare(now):
            self._open(f"{failed}, most of them with: {reason}", now)
            return
        self._close(now)

    def _close(self, now: float) -> None:
        self._answers = self._faults = 0.0
        self._numbers.clear()
        self.contents.clear()
        self._losses = 0
        self.probe.forget()
        self.reason, self.mute, self._closed_at = "", False, now
        self._move(Event.PROBE_ACCEPTED)

    def _spare(self, now: float) -> bool:
        """Whether the faults are those of one message, and the account is the only one that works."""
        content = self.contents.only(now) if self.only_account else None
        if content is None:
            return False
        if content not in self._spared:
            if len(self._spared) >= CONTENTS_LIMIT:
                self._spared.clear()
            self._spared.add(content)
            self._spared_newest = content
        return True

    def _open(self, reason: str, now: float, *, mute: bool = False, one_first: bool = False) -> None:
        if self.state is State.OPEN:
            return
        if self.state is State.CLOSED and now - self._closed_at >= STEADY_SECONDS:
            self._openings = 0
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._openings)
        self._openings += 1
        self.reason, self.mute, self.next_probe_at = reason, mute, now + pause
        self._answers = self._faults = 0.0
        self._throttled_since = None
        self.probe.one_first = one_first
        self._move(Event.FAULT)

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
