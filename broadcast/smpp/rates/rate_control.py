"""Which rate an SMSC allows, by its answers: additive increase, multiplicative decrease. `now` is passed in."""

from typing import Final

from broadcast.smpp.rates.growth import gentle_growth, quick_growth
from broadcast.smpp.rates.sliding_count import SlidingHighest
from broadcast.smpp.rates.slowing import Slowing
from broadcast.smpp.rates.upward_trial import UpwardTrial

LOWEST_RATE: Final = 1.0
LOWEST_SHARE: Final = 0.05
"""No cut goes lower than one submit a second, or than such a share of a low limit: it finds out what is accepted."""
BELOW_HIGHEST: Final = 0.98
"""At a low rate, of the most that was accepted in a second lately: exactly as many are throttled by any delay."""
HIGHEST_SECONDS: Final = 6.0
"""Lately is so long at most."""
LOWEST_CEILING: Final = 10.0
"""Without a limit the rate grows so far before it is unlimited again."""
FULL_PACE: Final = 8.0
"""Fewer segments accepted in a second say too little: the growth after a cut is slower in proportion."""
FEW: Final = 16
"""Where fewer are accepted in a second, one too many is a large share of them."""
LOWEST_PACE: Final = 0.25
"""No growth is slower than such a share of the usual one."""
LOWEST_CUT: Final = 0.5
"""The least factor of one cut."""
DOUBT_ANSWERS: Final = 4
"""So many acceptances are added to the newest answers, so that one throttled answer alone is no clear share."""
CLEAR_SHARE: Final = 0.3
"""Such a share of throttled answers cuts to what is accepted, again and again until it is less."""
CUT_SECONDS: Final = 1.0
IDLE_SEGMENTS: Final = 3.0
"""Answers that are further apart than so many segments at the rate, and than a second, are not counted together."""
LEAST_ANSWERS_TO_CUT: Final = 20
"""For a smaller share cuts are so far apart, by so many answers at least, and by that share."""
MOST_ANSWERS: Final = 2_000
"""Of more answers since the last cut the older ones count half."""
OPTIMUM: Final = range(80, 90)
"""congestion_state (0x0428 in SMPP 5.0): from 80 to 89 the SMSC is used best; above, it is nearly congested."""
AIM: Final = 85
FRESH_SECONDS: Final = 1.0
"""So long a congestion_state counts, and so far apart are cuts because of it: an SMSC counts by the second."""


class RateControl:
    """The rate in segments per second: at most `limit` (None: no limit), less after throttled answers.

    A cut goes down to what was accepted in the last second, but to no less than half. The growth after it is gentle
    first and then faster, so that the rate stays near what the SMSC allows, and is whole again in 4 s when the SMSC
    no longer throttles. Where less than `FULL_PACE` is accepted in a second, one throttled answer is enough to go
    back to what was accepted lately, and the growth is slower: few answers say little.

    Without a limit the first cut begins from what was sent in the last second. Where slowing down
    is of no use, because the SMSC throttles a share of whatever comes, the rate is again what it was (`Slowing`).
    """

    __slots__ = (
        "_answered_at",
        "_answers",
        "_answers_since",
        "_ceiling",
        "_congestion",
        "_congestion_at",
        "_cut_at",
        "_grown_at",
        "_highest",
        "_pace",
        "_quiet_since",
        "_rate_before",
        "_slowing",
        "_throttled",
        "_trial",
        "cuts",
        "few",
        "limit",
        "rate",
    )

    def __init__(self, limit: float | None, now: float) -> None:
        self.cuts = 0
        self.limit: float | None = None
        self.rate: float | None = None
        self._ceiling = 0.0
        # How fast the rate grows after the cut.
        self._pace = 1.0
        self.few = False
        """Whether the SMSC accepts so little that `note_accepted` wants to know of all answers."""
        self._highest: Final = SlidingHighest(HIGHEST_SECONDS)
        self._quiet_since = self._grown_at = now
        self._cut_at = now - CUT_SECONDS
        self._answers = self._throttled = 0
        self._answers_since = self._answered_at = now
        self._slowing: Final = Slowing()
        self._trial: Final = UpwardTrial()
        # What the rate was before the cut that is compared.
        self._rate_before: float | None = None
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
        pace, quiet = self._pace, self._quiet_since
        quick = quick_growth((now - quiet) * pace) - quick_growth(max(0.0, since - quiet) * pace)
        # While throttled answers after a cut are compared with those before it, only quiet lets the rate grow. So it is
        # where few are accepted in a second: one too many is a large share of them.
        ratio = self.rate / self._ceiling
        gentle = 0.0 if self._slowing.throttled or self.few else gentle_growth(ratio)
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

    def note_accepted(self, accepted: int, now: float) -> None:
        """Note how many segments were accepted in the last second."""
        trial = self._trial
        if trial.running:
            self._go_on_with_trial(accepted, now)
            return
        self._highest.note(accepted, now)
        if self.rate is None or self.rate >= self._ceiling:
            trial.forget()
        elif trial.is_due(now):
            self.rate = min(self._ceiling, max(self.rate, trial.begin(self.rate, self._highest.value(now), now)))

    def _go_on_with_trial(self, accepted: int, now: float) -> None:
        if self._trial.succeeds(accepted, now):
            self._highest.note(accepted, now)
            self._slowing.learn(*self._trial.measured, now)
            self._forget_answers(now)
        elif (before := self._trial.fails(now)) is not None:
            self.rate = before
            self._forget_answers(now)

    def note_answers(self, answers: int, throttled: int, sent: int, now: float) -> None:
        """Count answers since the last cut or pause, without those to what was written before the cut.

        `sent` segments were sent in the last second.
        """
        self._trial.count(answers, throttled)
        if self._trial.running:
            return
        if now - self._answered_at >= max(CUT_SECONDS, IDLE_SEGMENTS / (self.rate or IDLE_SEGMENTS)):
            self._forget_answers(now)
        self._answered_at = now
        self._answers += answers
        self._throttled += throttled
        if self._answers > MOST_ANSWERS:
            self._answers //= 2
            self._throttled //= 2
        if self._slowing.comparing:
            # The answers come later than what was sent: where few are sent, the rate says what came in a second.
            most = max(float(sent), self.rate or 0.0) if self.few else float(sent)
            if self._slowing.count(answers, throttled, most, now):
                self._undo_cut()

    def cut(self, newest: int, newest_throttled: int, accepted: int, sent: int, now: float) -> bool:
        """Cut the rate if the throttled answers ask for it; whether it was cut.

        Of the `newest` answers so many were throttled; `accepted` and `sent` are the segments of the last second.
        """
        if self._trial.running:
            return False
        slowing, answers, throttled = self._slowing, self._answers, self._throttled
        if answers < newest:
            newest, newest_throttled = answers, throttled
        # Few answers that contradict one another say less than few that agree.
        newest += DOUBT_ANSWERS if newest_throttled == newest else 2 * DOUBT_ANSWERS
        if slowing.excess(newest_throttled / newest, newest, now) >= CLEAR_SHARE:
            if now - self._cut_at < CUT_SECONDS and slowing.is_as_before(answers, throttled, now):
                return False
            factor = LOWEST_CUT
        else:
            if answers < LEAST_ANSWERS_TO_CUT or now - self._answers_since < CUT_SECONDS:
                self._go_back(accepted, now)
                return False
            share = slowing.excess(throttled / answers, answers, now)
            if not share:
                return False
            factor = 1.0 - share
        self._compare(accepted, now)
        self._set_lower(max(self._measure(accepted, now), self._current(sent) * factor, slowing.lowest), now)
        measured = max(accepted, self._highest.value(now))
        self._pace = min(1.0, max(LOWEST_PACE, measured / FULL_PACE)) if measured else 1.0
        self.few = measured < FEW
        if self.few:
            self._trial.plan(now)
        return True

    def note_throttled(self, now: float) -> None:
        """Let the growth be gentle again, because answers were throttled."""
        self._quiet_since = now

    def _measure(self, accepted: int, now: float) -> float:
        if not self.few:
            return float(accepted)
        return max(accepted, self._highest.value(now)) * BELOW_HIGHEST

    def _compare(self, accepted: int, now: float) -> None:
        """Begin to compare the answers before a cut with those after it, unless a comparison goes on."""
        seconds = max(CUT_SECONDS, now - self._answers_since)
        if self._slowing.begin(self._answers, self._throttled, seconds, accepted, now):
            self._rate_before = self.rate

    def _go_back(self, accepted: int, now: float) -> None:
        """Have the rate that was accepted lately, where the answers that a cut needs would come too late."""
        if self._slowing.share(now):
            return
        highest = self._highest.value(now)
        if self.few:
            self._compare(max(accepted, highest), now)
        if self.few and self.rate is not None:
            self.rate = min(self.rate, max(highest * BELOW_HIGHEST, self._lowest, self._slowing.lowest))
            self.note_throttled(now)
        elif not accepted:
            self.note_throttled(now)

    @property
    def _lowest(self) -> float:
        return min(LOWEST_RATE, LOWEST_SHARE * self._ceiling)

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

    def _undo_cut(self) -> None:
        """Have the rate that was before the cut that is compared, up to the limit."""
        before = self.limit if self.few else self._rate_before or self.limit
        if before is None or self.rate is None:
            self.rate = None
        else:
            self.rate = max(self.rate, before if self.limit is None else min(before, self.limit))
            self._ceiling = max(self._ceiling, self.rate)

    def _forget_answers(self, now: float) -> None:
        self._answers, self._throttled, self._answers_since = 0, 0, now

    def _set_lower(self, rate: float, now: float) -> None:
        current = self.rate if self.rate is not None else self._ceiling
        self.rate = min(current, max(rate, self._lowest))
        self._grown_at = self._cut_at = now
        self._forget_answers(now)
        self.note_throttled(now)
        self.cuts += 1
