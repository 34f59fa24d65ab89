"""How fast a bind may submit: a token bucket counted in segments, cut when throttled. `now` is passed in."""

from typing import Final

UNLIMITED: Final = 1 << 30
# After a cut, the rate grows by this share of the whole per second: 20 s from a half to the whole.
RECOVERY_PER_SECOND: Final = 0.025
LOWEST_RATE: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 5.0
HALF: Final = 0.5
# A smaller share of throttled answers is measured over so many seconds.
EPOCH_SECONDS: Final = 1.0
# So many acceptances are added to the answers seen, so that one throttled answer alone does not halve the rate.
DOUBT_ANSWERS: Final = 4
# A rate is measured over so many seconds before a cut can begin from it.
MEASURE_SECONDS: Final = 0.5


class Pacing:
    """Allows `limit` segments per second (None: as many as the window allows), and fewer when throttled.

    Additive increase, multiplicative decrease, the decrease in proportion to the share that was throttled. The pause
    doubles while one throttled answer follows another, and starts again at `pause_seconds` after a good answer.
    Without a limit, a cut begins from the measured rate, and ends when that rate is reached again.
    """

    __slots__ = (
        "_burst_seconds",
        "_ceiling",
        "_epoch_answers",
        "_epoch_at",
        "_epoch_throttled",
        "_first_pause_seconds",
        "_least_burst",
        "_measured",
        "_measured_at",
        "_measured_count",
        "_pause_seconds",
        "_paused_until",
        "_rate",
        "_tokens",
        "_updated_at",
        "cuts",
        "limit",
    )

    def __init__(self, limit: float | None, now: float, burst_seconds: float = 0.1, pause_seconds: float = 0.1) -> None:
        self._burst_seconds: Final = burst_seconds
        self._first_pause_seconds: Final = pause_seconds
        self._least_burst = 1.0
        self._updated_at = self._measured_at = now
        self._paused_until = now
        self._pause_seconds = self._first_pause_seconds
        self._epoch_at = now
        self._epoch_answers = 0
        self._epoch_throttled = 0.0
        self._measured = 0.0
        self._measured_count = 0
        self.cuts = 0
        self.limit: float | None = None
        self._rate: float | None = None
        self._ceiling = 0.0
        self._tokens = 0.0
        self.set_limit(limit, now)
        self._tokens = self._burst

    def set_limit(self, limit: float | None, now: float) -> None:
        """Change the limit, for example to a worker's share of its account. A cut of the rate stays in force."""
        if limit is not None and limit <= 0:
            raise ValueError(f"rate {limit} segments/s is not above 0")
        self._refill(now)
        cut = self._rate is not None and self._rate < self._ceiling
        self.limit = limit
        if limit is None:
            self._rate = self._rate if cut else None
        else:
            self._ceiling = limit
            self._rate = min(self._rate, limit) if cut and self._rate is not None else limit
            self._tokens = min(self._tokens, self._burst)

    @property
    def rate(self) -> float | None:
        """Segments per second now; None without a limit."""
        return self._rate

    @property
    def _burst(self) -> float:
        return max(self._least_burst, (self._rate or 0.0) * self._burst_seconds)

    def _refill(self, now: float) -> None:
        elapsed = now - self._updated_at
        self._updated_at = now
        if elapsed <= 0 or self._rate is None:
            return
        start = max(self._paused_until, now - elapsed)
        if now > start:
            if self._rate < self._ceiling:
                self._rate = min(self._ceiling, self._rate + self._ceiling * RECOVERY_PER_SECOND * (now - start))
            self._tokens = min(self._burst, self._tokens + self._rate * (now - start))
            if self.limit is None and self._rate >= self._ceiling:
                self._rate = None

    def room(self, now: float) -> int:
        """Segments that may be written at `now`; 0 while paused."""
        if now < self._paused_until:
            return 0
        if self._rate is None:
            return UNLIMITED
        self._refill(now)
        return int(self._tokens) if self._rate is not None else UNLIMITED

    def take(self, count: int, now: float) -> None:
        """Account for `count` segments written at `now`."""
        if self._rate is not None:
            self._tokens -= count
        self._measured_count += count
        if now - self._measured_at >= MEASURE_SECONDS:
            self._measured = self._measured_count / (now - self._measured_at)
            self._measured_at, self._measured_count = now, 0

    def observe(self, answers: int, throttled: float, now: float) -> None:
        """Account for `answers` that came together, of which `throttled` were throttled.

        A pause follows at once, in proportion to the throttled share. A share of a half or more halves the rate, once
        per pause, because the answers to one window are one event. A smaller share is taken off the rate once a
        second, because what was accepted is what the SMSC allows.
        """
        if not throttled:
            self._pause_seconds = self._first_pause_seconds
            if not self._epoch_answers:
                return
        elif now < self._paused_until:
            return
        if not self._epoch_answers:
            self._epoch_at = now
        self._epoch_answers += answers
        self._epoch_throttled += throttled
        share = self._epoch_throttled / (self._epoch_answers + DOUBT_ANSWERS)
        self._refill(now)
        if throttled:
            self._paused_until = now + self._pause_seconds * share
        if share >= HALF:
            self._pause_seconds = min(LONGEST_PAUSE_SECONDS, self._pause_seconds * 2)
            self._cut(HALF, now)
        elif now - self._epoch_at >= EPOCH_SECONDS:
            self._cut(1.0 - share, now)

    def _cut(self, factor: float, now: float) -> None:
        current = self._rate
        if current is None:
            elapsed = max(now - self._measured_at, MEASURE_SECONDS)
            current = self._ceiling = max(LOWEST_RATE, self._measured or self._measured_count / elapsed)
        self._rate = max(min(LOWEST_RATE, self._ceiling), current * factor)
        self._tokens = min(self._tokens, 0.0) if factor == HALF else min(self._tokens, self._burst)
        self._epoch_answers, self._epoch_throttled = 0, 0.0
        self.cuts += 1

    def next_room_at(self, now: float, segments: int = 1) -> float:
        """When there will be room for that many segments together, on the clock of `now`."""
        self._least_burst = max(self._least_burst, segments)
        if self.room(now) >= segments:
            return now
        start = max(now, self._paused_until)
        if self._rate is None:
            return start
        # At high rates a timer for each segment would cost more than the segment: wait for the segments of 10 ms.
        wanted = max(segments, min(self._burst, self._rate * 0.01))
        return start + max(0.0, wanted - self._tokens) / self._rate
