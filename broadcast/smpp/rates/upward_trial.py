"""When a low rate is tried higher for a second, so that no rate is low for ever. Pure: `now` is passed in."""

from typing import Final

PAUSES_SECONDS: Final = (5.0, 10.0, 20.0, 40.0)
"""Between trials that fail; a trial that succeeds begins anew, with the next one at once."""
TRIAL_SECONDS: Final = 1.05
"""How long more is sent: a whole second, and the time for its last answers."""
TIMES_HIGHEST: Final = 4.0
LEAST_RATE: Final = 8.0
"""A trial sends so many times what was accepted in a second lately, and at least so many segments a second."""
LEAST_SHARE: Final = 0.33
"""An SMSC with a limit throttles less than such a share at a rate that has become low."""
MORE_SEGMENTS: Final = 2
"""So many more accepted in a second are no error of a clock: the SMSC has no limit there."""


class UpwardTrial:
    """Says when to send more than an SMSC seems to take, and whether more was accepted.

    An SMSC with a limit accepts as many as before; one that throttles a share of whatever comes accepts more.
    """

    __slots__ = ("_answers", "_ends_at", "_failures", "_highest", "_next_at", "_rate_before", "_throttled")

    def __init__(self) -> None:
        self._failures = 0
        self._next_at = self._ends_at = float("inf")
        self._highest = self._answers = self._throttled = 0
        self._rate_before = 0.0

    @property
    def running(self) -> bool:
        """Whether a trial is under way: throttled answers then are no reason to cut."""
        return self._ends_at != float("inf")

    def plan(self, now: float) -> None:
        """Have a trial after the first pause, if none is planned."""
        if self._next_at == float("inf"):
            self._failures = 0
            self._wait(now)

    def forget(self) -> None:
        """Have no trial, because the rate is whole again."""
        self._next_at = self._ends_at = float("inf")

    def is_due(self, now: float) -> bool:
        """Whether a trial should begin: the pause is over, and much was throttled in it although the rate is low."""
        if self.running or now < self._next_at:
            return False
        if self._throttled >= LEAST_SHARE * self._answers:
            return True
        self._wait(now)
        return False

    def _wait(self, now: float) -> None:
        self._answers = self._throttled = 0
        self._next_at = now + PAUSES_SECONDS[self._failures]

    def begin(self, rate: float, highest: int, now: float) -> float:
        """Begin a trial; the rate to have. `highest` segments were accepted in a second lately."""
        self._rate_before, self._highest = rate, highest
        self._answers = self._throttled = 0
        self._ends_at = now + TRIAL_SECONDS
        return max(LEAST_RATE, TIMES_HIGHEST * highest)

    def count(self, answers: int, throttled: int) -> None:
        """Count answers, of the trial or of the pause before it."""
        self._answers += answers
        self._throttled += throttled

    def succeeds(self, accepted: int, now: float) -> bool:
        """Whether `accepted` segments of the last second are clearly more than before; ends the trial then."""
        if accepted < self._highest + MORE_SEGMENTS or not self._throttled:
            return False
        self._failures = 0
        self._next_at, self._ends_at = now, float("inf")
        return True

    def fails(self, now: float) -> float | None:
        """The rate to go back to, when the trial is over without success."""
        if now < self._ends_at:
            return None
        self._failures = min(self._failures + 1, len(PAUSES_SECONDS) - 1)
        self._ends_at = float("inf")
        self._wait(now)
        return self._rate_before

    @property
    def measured(self) -> tuple[int, int]:
        """Answers of the trial, and how many of them were throttled."""
        return self._answers, self._throttled
