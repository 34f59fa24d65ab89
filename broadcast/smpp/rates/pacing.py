"""How fast a bind or an account may submit, counted in segments, over any second. `now` is passed in."""

import math
from typing import Final

from broadcast.smpp.rates.rate_control import DOUBT_ANSWERS, RateControl
from broadcast.smpp.rates.sliding_count import SlidingCount

UNLIMITED: Final = 1 << 30
SPAN_SECONDS: Final = 1.02
"""What leaves in so long may arrive within one second: 20 ms closer together."""
SPAN_SHARE: Final = 1.015
"""No span has more than this of the rate: a second of the SMSC has at most 1.5 % more, and the average loses 0.5 %."""
BURST_SECONDS: Final = 0.05
"""So much of the rate may be written at once, after idle time or a late timer."""
TIMER_SECONDS: Final = 0.01
"""At high rates a timer for each segment would cost more than the segment: wait for the segments of 10 ms."""
SHARE_SECONDS: Final = 0.1
"""The throttled share is that of the answers of so long."""
EVENT_SECONDS: Final = 2.0
"""Throttled answers to submits that were written before a cut are part of it, at most so long."""


def make_sent_count() -> SlidingCount:
    """Counts what is sent, for as long as a limit must know of it."""
    return SlidingCount(SPAN_SECONDS)


class Pacing:
    """Allows `limit` segments a second (None: as many as the window allows), and fewer when throttled.

    Any second has at most 1.5 % more than the limit, and for a limit below 67 no more than the limit.
    A token bucket spreads segments, and a count over the last second holds the limit, in whole segments. A throttled
    answer cuts the rate (`RateControl`) and pauses in proportion to the throttled share; answers to what was written
    before the cut are part of the same event. `sent`, by `make_sent_count`, is what was sent before by a pacing of the
    same account: the limit holds over both.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_control",
        "_event_answers",
        "_event_until",
        "_group",
        "_least_burst",
        "_pause_seconds",
        "_paused_until",
        "_sent",
        "_throttled",
        "_tokens",
        "_updated_at",
    )

    def __init__(
        self, limit: float | None, now: float, pause_seconds: float = 0.1, sent: SlidingCount | None = None
    ) -> None:
        self._control: Final = RateControl(limit, now)
        self._pause_seconds: Final = pause_seconds
        self._sent: Final = make_sent_count() if sent is None else sent
        self._accepted: Final = SlidingCount(1.0)
        self._answered: Final = SlidingCount(SHARE_SECONDS)
        self._throttled: Final = SlidingCount(SHARE_SECONDS)
        self._least_burst = 1.0
        self._group = 1
        self._updated_at = self._paused_until = self._event_until = now
        self._event_answers = 0
        self._tokens = self._burst

    @property
    def limit(self) -> float | None:
        """The most segments of any second; None without a limit."""
        return self._control.limit

    @property
    def rate(self) -> float | None:
        """Segments per second now; None without a limit."""
        return self._control.rate

    @property
    def cuts(self) -> int:
        """How often the rate was cut."""
        return self._control.cuts

    def set_limit(self, limit: float | None, now: float) -> None:
        """Change the limit, for example to a worker's share of its account. A cut of the rate stays in force."""
        self._refill(now)
        self._control.set_limit(limit)
        self._tokens = min(self._tokens, self._burst)

    def room(self, now: float) -> int:
        """Segments that may be written at `now`; 0 while paused."""
        if now < self._paused_until:
            return 0
        if self._control.rate is None:
            return UNLIMITED
        rate = self._refill(now)
        if rate is None:
            return UNLIMITED
        return max(0, min(int(self._tokens), self._most(rate) - self._sent.total(now)))

    def take(self, count: int, now: float) -> None:
        """Account for `count` segments written at `now`."""
        self._sent.add(count, now)
        if self._control.rate is not None:
            self._tokens -= count
            self._group = 1

    def observe(
        self, answers: int, throttled: int, now: float, *, unanswered: int = 0, congestion: int | None = None
    ) -> None:
        """Account for `answers` that came together, of which `throttled` were throttled.

        `unanswered` submits were written before and have no answer yet; `congestion` is the congestion_state of the
        last of the answers.
        """
        self._accepted.add(answers - throttled, now)
        self._answered.add(answers, now)
        if self._control.few:
            self._control.note_accepted(self._accepted.total(now), now)
        self._event_answers -= answers
        if congestion is not None:
            self._control.note_congestion(congestion, self._sent.total(now), now)
        if throttled:
            self._throttled.add(throttled, now)
        if self._event_answers >= 0 and now < self._event_until:
            if throttled:
                self._control.note_throttled(now)
            return
        self._control.note_answers(answers, throttled, self._sent.total(now), now)
        if throttled:
            self._slow_down(unanswered, now)

    def _slow_down(self, unanswered: int, now: float) -> None:
        self._refill(now)
        newest, throttled = self._answered.total(now), self._throttled.total(now)
        if not self._control.cut(newest, throttled, self._accepted.total(now), self._sent.total(now), now):
            return
        self._event_answers, self._event_until = unanswered, now + EVENT_SECONDS
        self._tokens = min(self._tokens, self._burst)
        self._paused_until = now + self._pause_seconds * throttled / (newest + DOUBT_ANSWERS)

    def next_room_at(self, now: float, segments: int = 1) -> float:
        """When there will be room for that many segments together, on the clock of `now`."""
        self._group = max(self._group, segments)
        self._least_burst = max(self._least_burst, segments)
        if self.room(now) >= segments:
            return now
        start = max(now, self._paused_until)
        rate = self._control.rate
        if rate is None:
            return start
        most = self._most(rate)
        wanted = max(segments, min(self._burst, rate * TIMER_SECONDS, most))
        by_bucket = now + max(0.0, wanted - self._tokens) / rate
        return max(start, by_bucket, self._sent.below_at(most - math.ceil(wanted), now))

    @property
    def _burst(self) -> float:
        return max(self._least_burst, (self._control.rate or 0.0) * BURST_SECONDS)

    def _most(self, rate: float) -> int:
        """The most segments of one span; a group that is larger goes alone, because it goes whole."""
        most = math.ceil(rate * SPAN_SECONDS)
        if self._control.limit is not None:
            most = min(most, int(self._control.limit * SPAN_SHARE))
        return max(most, self._group)

    def _refill(self, now: float) -> float | None:
        """Let tokens and rate grow until `now`; the rate then."""
        elapsed = now - self._updated_at
        if elapsed > 0:
            self._updated_at = now
            self._control.grow(now, unused=self._tokens >= self._burst)
        rate = self._control.rate
        if rate is not None and elapsed > 0:
            self._tokens = min(self._burst, self._tokens + rate * elapsed)
        return rate
