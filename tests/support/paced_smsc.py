"""An SMSC without a wire, on a clock that the test moves: it counts a sliding second, throttles, and answers later."""

import random
from collections import deque
from collections.abc import Callable, Sequence

from broadcast.smpp.rates.pacing import UNLIMITED, Pacing

TURN_SECONDS = 0.001


class PacedSmsc:
    """Allows `allowed(now)` segments in a sliding second, of what it accepts or, with `counts_all`, of what comes."""

    def __init__(
        self,
        allowed: Callable[[float], float],
        *,
        latency: float = 0.02,
        jitter: float = 0.0,
        counts_all: bool = False,
        seed: int = 7,
    ) -> None:
        self.highest = 0
        """The most segments that came in a sliding second."""
        self.accepted: list[float] = []
        self.throttled: list[float] = []
        self.congestion_of: Callable[[int], int] | None = None
        """congestion_state by the segments of the last second."""
        self.random_share = 0.0
        self._allowed = allowed
        self._latency, self._jitter, self._counts_all = latency, jitter, counts_all
        self._random = random.Random(seed)
        self._arriving: deque[float] = deque()
        self._came: deque[float] = deque()
        self._counted: deque[float] = deque()
        # (when, accepted, congestion_state)
        self._answers: deque[tuple[float, bool, int | None]] = deque()

    @property
    def unanswered(self) -> int:
        """Segments that were written and have no answer yet."""
        return len(self._arriving) + len(self._answers)

    def write(self, count: int, now: float) -> None:
        """Segments leave the client."""
        for _ in range(count):
            at = now + self._random.uniform(0, self._jitter)
            self._arriving.append(max(at, self._arriving[-1]) if self._arriving else at)

    def turn(self, now: float) -> tuple[int, int, int | None]:
        """Take what arrives by `now`; the answers that are back by then, how many throttled, and a congestion_state."""
        while self._arriving and self._arriving[0] <= now:
            self._take(self._arriving.popleft())
        answers = throttled = 0
        congestion = None
        while self._answers and self._answers[0][0] <= now:
            _, accepted, congestion = self._answers.popleft()
            answers += 1
            throttled += not accepted
        return answers, throttled, congestion

    def accepted_between(self, start: float, end: float) -> int:
        """How many segments were accepted from `start` on, before `end`."""
        return sum(start <= at < end for at in self.accepted)

    def throttled_between(self, start: float, end: float) -> int:
        """How many segments were throttled from `start` on, before `end`."""
        return sum(start <= at < end for at in self.throttled)

    def _take(self, at: float) -> None:
        for times in (self._came, self._counted):
            while times and times[0] <= at - 1.0:
                times.popleft()
        self._came.append(at)
        self.highest = max(self.highest, len(self._came))
        good = len(self._counted) < self._allowed(at) and self._random.random() >= self.random_share
        (self.accepted if good else self.throttled).append(at)
        if good or self._counts_all:
            self._counted.append(at)
        state = None if self.congestion_of is None else self.congestion_of(len(self._came))
        self._answers.append((at + self._latency, good, state))


def drive(
    pacings: Sequence[Pacing],
    smsc: PacedSmsc,
    seconds: float,
    *,
    start: float = 0.0,
    window: int = UNLIMITED,
    demand: Callable[[float], bool] = lambda _: True,
    each_turn: Callable[[float], None] = lambda _: None,
    turn_seconds: float = TURN_SECONDS,
) -> float:
    """Write whenever all pacings and the window have room, from `start` for so many seconds; the time at the end."""
    for turn in range(round(seconds / turn_seconds)):
        now = start + turn * turn_seconds
        each_turn(now)
        answers, throttled, congestion = smsc.turn(now)
        if answers:
            pacings[0].observe(answers, throttled, now, unanswered=smsc.unanswered, congestion=congestion)
        room = min(window - smsc.unanswered, *(pacing.room(now) for pacing in pacings), 10_000)
        if room > 0 and demand(now):
            for pacing in pacings:
                pacing.take(room, now)
            smsc.write(room, now)
    return start + round(seconds / turn_seconds) * turn_seconds
