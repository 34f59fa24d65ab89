"""How much an SMSC throttles an account, and whether it holds the account under its rate for long. Pure.

`now` is monotonic seconds; rates are segments per second.
"""

from collections import deque
from typing import Final, NamedTuple

SPAN_SECONDS: Final = 10.0
"""Share and rate are those of so long."""

SLOWED_SHARE: Final = 0.9
"""Below this share of the limit an account is slowed; less is how the rate is found."""

HELD_SHARE: Final = 0.5
"""Below this share of the limit for `HELD_SECONDS` it is held, and also while so many of the answers are throttled."""

FREE_SHARE: Final = 0.75
"""From this share of the limit on, and of accepted answers, it is not held any more."""

HELD_SECONDS: Final = 60.0
"""So long it must be held before `held` is true, and so long nothing may be throttled before it is false."""


class _Sample(NamedTuple):
    at: float
    answers: int
    throttled: int
    rate: float | None


class Throttling:
    """Answers and rate of one account over the last seconds, with hysteresis.

    `share` is the throttled share of the answers, `rate` the mean rate that was allowed (None: no limit), `limit` the
    rate that is set (None: none). `slowed` says that the SMSC slows the account now, `held` that it does so for long.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self.rate: float | None = None
        self.limit: float | None = None
        self.slowed = False
        self.held = False
        self._answers = self._throttled = 0
        self._samples: Final[deque[_Sample]] = deque()
        self._held_since: float | None = None
        self._throttled_at = float("-inf")

    def note_answers(self, answers: int, throttled: int) -> None:
        """Count answers that came together, and how many were refused because of rate or full queues."""
        self._answers += answers
        self._throttled += throttled

    def look(self, now: float, rate: float | None, limit: float | None) -> None:
        """Assess the account at `now`: `rate` is what may be written, `limit` what is set. Called regularly."""
        if self._throttled:
            self._throttled_at = now
        self._samples.append(_Sample(now, self._answers, self._throttled, rate))
        self._answers = self._throttled = 0
        while self._samples[0].at <= now - SPAN_SECONDS:
            self._samples.popleft()
        answers = sum(sample.answers for sample in self._samples)
        self.share = sum(sample.throttled for sample in self._samples) / answers if answers else 0.0
        rates = [limit if sample.rate is None else sample.rate for sample in self._samples]
        known = [each for each in rates if each is not None]
        self.rate = sum(known) / len(known) if len(known) == len(rates) else None
        self.limit = limit
        self.slowed = self.share > 0 and self.rate is not None and (limit is None or self.rate < SLOWED_SHARE * limit)
        self._assess_held(now)

    def describe(self) -> str:
        """The throttling in words; what changes all the time stands behind `; slowed to`."""
        of_limit = "" if self.limit is None else f" of {self.limit:.0f}"
        rate = "-" if self.rate is None else f"{self.rate:.0f}"
        return (
            f"throttled by the SMSC; slowed to {rate}{of_limit} segments/s, {self.share:.1%} of the answers of the "
            f"last {SPAN_SECONDS:.0f} s are throttled"
        )

    def _assess_held(self, now: float) -> None:
        if not (self.share > 0 and self._is_under(HELD_SHARE)):
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now
        if self.held:
            self.held = now - self._throttled_at < HELD_SECONDS and self._is_under(FREE_SHARE)
        else:
            self.held = self._held_since is not None and now - self._held_since >= HELD_SECONDS

    def _is_under(self, share: float) -> bool:
        """Whether the rate is under this share of the limit, or fewer answers than that are accepted."""
        if self.share >= 1 - share:
            return True
        return self.limit is not None and self.rate is not None and self.rate < share * self.limit
