"""Which rate an SMSC allows, by its answers: additive increase, multiplicative decrease. `now` is passed in."""

from typing import Final

LOWEST_RATE: Final = 1.0
LOWEST_CEILING: Final = 10.0
"""No cut goes lower while anything is accepted; without a limit the rate grows so far before it is unlimited again."""
GROWTH_OF_CEILING: Final = 0.01
GROWTH_OF_RATE: Final = 0.015
"""By such shares of the ceiling and of itself the rate always grows in a second."""
GENTLE_SECONDS: Final = 1.0
FULL_SECONDS: Final = 3.5
"""Without a throttled answer the growth becomes faster after the first, and reaches the ceiling after the second."""
LOWEST_CUT: Final = 0.5
"""The least factor of one cut."""
CLEAR_SHARE: Final = 0.3
"""Such a share of throttled answers cuts to what is accepted, again and again until it is less."""
CUT_SECONDS: Final = 1.0
LEAST_ANSWERS: Final = 20
"""For a smaller share cuts are so far apart, by so many answers at least, and by that share."""
CHANCE_SHARE: Final = 0.03
"""Such a share that a cut has not changed by half does not depend on the rate: it does not cut again."""
OPTIMUM: Final = range(80, 90)
"""congestion_state (0x0428 in SMPP 5.0): from 80 to 89 the SMSC is used best; above, it is nearly congested."""
AIM: Final = 85
FRESH_SECONDS: Final = 1.0
"""So long a congestion_state counts, and so far apart are cuts because of it: an SMSC counts by the second."""


class RateControl:
    """The rate in segments per second: at most `limit` (None: no limit), less after throttled answers.

    A cut goes down to what was accepted in the last second, but to no less than half. The growth after it is gentle
    first and then faster, so that the rate stays near what the SMSC allows, and is whole again in 4 s when the SMSC
    no longer throttles. Without a limit the first cut begins from what was sent in the last second.
    """

    __slots__ = (
        "_answers",
        "_ceiling",
        "_congestion",
        "_congestion_at",
        "_cut_at",
        "_grown_at",
        "_last_share",
        "_quiet_since",
        "_throttled",
        "cuts",
        "limit",
        "rate",
    )

    def __init__(self, limit: float | None, now: float) -> None:
        self.cuts = 0
        self.limit: float | None = None
        self.rate: float | None = None
        self._ceiling = 0.0
        self._quiet_since = self._grown_at = now
        self._cut_at = now - CUT_SECONDS
        self._answers = self._throttled = 0
        self._last_share = 0.0
        self._congestion = 0
        self._congestion_at = now - FRESH_SECONDS
        self.set_limit(limit)

    def set_limit(self, limit: float | None) -> None:
        """Change the limit, for example to a worker's share of its account. A cut of the rate stays in force."""
        if limit is not None and limit <= 0:
            raise ValueError(f"rate {limit} segments/s is not above 0")
        cut = self.rate is not None and self.rate < self._ceiling
        self.limit = limit
        if limit is None:
            self.rate = self.rate if cut else None
        else:
            self._ceiling = limit
            self.rate = min(self.rate, limit) if cut and self.rate is not None else limit

    def grow(self, now: float, *, unused: bool) -> None:
        """Let the rate grow until `now`; `unused` when less was sent than the rate allows."""
        since, self._grown_at = self._grown_at, now
        if self.rate is None or now <= since or (self.rate >= self._ceiling and self.limit is not None):
            return
        quick = _quick_growth(now - self._quiet_since) - _quick_growth(max(0.0, since - self._quiet_since))
        gentle = GROWTH_OF_CEILING + GROWTH_OF_RATE * self.rate / self._ceiling
        if now - self._congestion_at < FRESH_SECONDS:
            if self._congestion >= OPTIMUM.start:
                return
            quick *= 1 - self._congestion / OPTIMUM.start
        grown = self.rate + self._ceiling * (gentle * (now - since) + quick)
        if grown < self._ceiling:
            self.rate = grown
        elif self.limit is not None:
            self.rate = self._ceiling
        elif unused:
            # The rate limits nothing any more.
            self.rate = None
        else:
            self.rate = self._ceiling = grown

    def note_answers(self, answers: int, throttled: int) -> None:
        """Count answers since the last cut, without those to what was written before it."""
        self._answers += answers
        self._throttled += throttled

    def cut(self, newest_share: float, accepted: int, sent: int, now: float) -> bool:
        """Cut the rate if the throttled answers ask for it; whether it was cut.

        `newest_share` of the newest answers was throttled; `accepted` and `sent` are the segments of the last second.
        """
        factor = LOWEST_CUT
        if newest_share < CLEAR_SHARE:
            if self._answers < LEAST_ANSWERS or now - self._cut_at < CUT_SECONDS:
                return False
            share = self._throttled / self._answers
            by_chance = share >= CHANCE_SHARE and abs(share - self._last_share) <= self._last_share / 2
            self._last_share, self._answers, self._throttled = share, 0, 0
            if by_chance:
                return False
            factor = 1.0 - share
        lowest = LOWEST_CEILING if accepted else LOWEST_RATE
        self._set_lower(max(float(accepted), self._current(sent) * factor, lowest), now)
        return True

    def note_throttled(self, now: float) -> None:
        """Let the growth be gentle again, because answers were throttled."""
        self._quiet_since = now

    def note_congestion(self, state: int, sent: int, now: float) -> None:
        """Use a congestion_state, 0 to 100, that came with a response; aims at 80 to 89."""
        self._congestion, self._congestion_at = state, now
        if state >= OPTIMUM.start:
            self.note_throttled(now)
        if state >= OPTIMUM.stop and now - self._cut_at >= FRESH_SECONDS:
            current = self._current(sent)
            self._set_lower(max(min(current, float(sent)) * AIM / state, current * LOWEST_CUT), now)

    def _current(self, sent: int) -> float:
        if self.rate is not None:
            return self.rate
        self._ceiling = max(LOWEST_CEILING, float(sent))
        return self._ceiling

    def _set_lower(self, rate: float, now: float) -> None:
        current = self.rate if self.rate is not None else self._ceiling
        self.rate = min(current, max(rate, min(LOWEST_RATE, self._ceiling)))
        self._grown_at = self._cut_at = now
        self._answers = self._throttled = 0
        self.note_throttled(now)
        self.cuts += 1


def _quick_growth(quiet: float) -> float:
    """By which share of the ceiling the rate has grown beside the gentle growth, so long after the last throttling."""
    if quiet <= GENTLE_SECONDS:
        return 0.0
    if quiet <= FULL_SECONDS:
        return ((quiet - GENTLE_SECONDS) / (FULL_SECONDS - GENTLE_SECONDS)) ** 2
    # Only without a limit: the ceiling doubles within half a second.
    return 1.0 + 2.0 * (quiet - FULL_SECONDS)
