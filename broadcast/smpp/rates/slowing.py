"""Whether slowing down helps: an SMSC may throttle a share of whatever comes. Pure: `now` is passed in."""

from math import sqrt
from typing import Final

SETTLE_SECONDS: Final = 1.0
"""An SMSC that counts a second still counts what came before the rate was cut."""
TEST_SECONDS: Final = 8.0
"""A comparison that is undecided after so long begins anew with the next cut."""
FEW_TEST_SECONDS: Final = 20.0
"""So long, where fewer answers have come than are compared."""
PATIENT_SECONDS: Final = 3.0
"""So long after the first cut answers that are as before it are no reason for another large cut."""
LEAST_BEFORE: Final = 6
LEAST_AFTER: Final = 12
"""Answers without which nothing is compared."""
SIGMAS: Final = 3.0
"""So many standard deviations are no chance."""
BELOW_LIMIT: Final = 0.9
"""Below such a share of what was accepted in a second before the cut, an SMSC with a limit does not throttle."""
SLOWER: Final = 0.98
"""By such a factor a rate is held below what is safe, so that answers are counted."""
LEAST_SAFE: Final = 0.9
"""One less than what was accepted counts where it is few, because a clock may err by one; but no less than this."""
HIGHEST_SHARE: Final = 0.9
"""Of a higher throttled share nothing is concluded: too little is accepted to compare."""
KNOWN_SECONDS: Final = 30.0
"""So long a small share is known; a large one shorter, because the error would be larger."""


class Slowing:
    """Compares the accepted share before a cut of the rate and after it.

    An SMSC with a limit accepts as many as before, so the accepted share rises. One that throttles whatever comes
    accepts the same share: then `share` is that of the throttled, for a time, and the cut was of no use.
    """

    __slots__ = (
        "_accepted_share",
        "_answers",
        "_began_at",
        "_doubt",
        "_known_inverse",
        "_known_until",
        "_limit",
        "_share",
        "_throttled",
    )

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._known_until = float("-inf")
        # Before the cut: the share that was accepted, how wrong it may be, and what an SMSC with a limit accepts at
        # least in a second.
        self._accepted_share = self._doubt = self._limit = 0.0
        # After the cut.
        self._answers = self._throttled = 0
        self._share = 0.0
        # 1 / the answers that the share was measured with.
        self._known_inverse = 0.0

    @property
    def comparing(self) -> bool:
        """Whether a comparison is under way: `count` wants to know of all answers."""
        return self._began_at is not None

    @property
    def throttled(self) -> bool:
        """Whether a comparison is under way and has throttled answers since the cut."""
        return self._began_at is not None and self._throttled > 0

    @property
    def lowest(self) -> float:
        """No cut goes lower than this while a comparison is under way, because it needs answers; 0 without one."""
        return SLOWER * self._safe if self._began_at is not None else 0.0

    @property
    def _safe(self) -> float:
        """So many segments in a second an SMSC with a limit has no reason to throttle."""
        return max(LEAST_SAFE, min(BELOW_LIMIT * self._limit, self._limit - 1.0))

    def share(self, now: float) -> float:
        """The share of answers that is throttled at any rate; 0 when none is known."""
        return self._share if now < self._known_until else 0.0

    def excess(self, share: float, answers: int, now: float) -> float:
        """How much of a throttled share is more than chance throttles, of the answers that chance leaves; 0 or more."""
        known = self.share(now)
        if not known:
            return share
        inverse = 1 / max(1, answers) + self._known_inverse
        return max(0.0, (share - known - _deviation(known, inverse)) / (1.0 - known))

    def begin(self, answers: int, throttled: int, seconds: float, accepted: int, now: float) -> bool:
        """A cut follows these answers of so many seconds; whether a comparison begins, and not one goes on.

        `accepted` segments were accepted in the last second.
        """
        patience = TEST_SECONDS if self._answers >= LEAST_AFTER else FEW_TEST_SECONDS
        if self._began_at is not None and now - self._began_at < patience:
            self._limit = max(self._limit, float(accepted))
            return False
        self._began_at = None
        if answers < LEAST_BEFORE or throttled > HIGHEST_SHARE * answers:
            return False
        self._began_at = now
        share = self._accepted_share = 1.0 - throttled / answers
        self._doubt = _deviation(share, 1 / answers)
        self._limit = max(float(accepted), (share - self._doubt) * answers / seconds)
        self._answers = self._throttled = 0
        return True

    def is_as_before(self, answers: int, throttled: int, now: float) -> bool:
        """Whether a comparison has begun shortly before, and these answers after the cut are like those before it."""
        if self._began_at is None or now - self._began_at >= PATIENT_SECONDS or not answers:
            return False
        share = 1.0 - throttled / answers
        return abs(share - self._accepted_share) <= self._doubt + _deviation(self._accepted_share, 1 / answers)

    def count(self, answers: int, throttled: int, sent: float, now: float) -> bool:
        """Count answers after the cut; whether it is certain that the cut was of no use.

        `sent` segments were sent in the last second. Only where they are fewer than an SMSC with a limit takes, it has
        no reason to throttle.
        """
        if self._began_at is None or now < self._began_at + SETTLE_SECONDS or sent > self._safe:
            return False
        self._answers += answers
        self._throttled += throttled
        before, after = self._accepted_share, 1.0 - self._throttled / self._answers
        # By the share before too: few answers that are all accepted would seem to be certain.
        noise = max(_deviation(after, 1 / self._answers), _deviation(before, 1 / self._answers))
        as_before = before - self._doubt - noise <= after <= before + self._doubt + noise
        if self._answers < LEAST_AFTER or (as_before and after + noise >= 1.0):
            return False
        self._began_at = None
        if not as_before:
            return False
        self.learn(self._answers, self._throttled, now)
        return True

    def learn(self, answers: int, throttled: int, now: float) -> None:
        """Know for a time that of so many answers so many are throttled at any rate."""
        self._began_at = None
        self._share = throttled / answers
        self._known_inverse = 1 / answers
        self._known_until = now + KNOWN_SECONDS * (1.0 - self._share)


def _deviation(share: float, inverse: float) -> float:
    """What chance may add to a share that was measured with so many answers, as the sum of their inverses."""
    return SIGMAS * sqrt(share * (1.0 - share) * inverse)
