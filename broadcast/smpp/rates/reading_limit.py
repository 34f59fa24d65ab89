"""How fast a link is read that an SMSC floods with requests. `now` is passed in."""

from typing import Final

OTHERS_PER_SECOND: Final = 5_000
"""PDUs that are neither answers to submits nor deliveries; so many may also come at once."""


class ReadingLimit:
    """Counts PDUs that are neither answers to submits nor deliveries, and says when to read no more for a time.

    Each costs far more than its 16 octets: an SMSC that floods one link must not hold up all others.
    """

    __slots__ = ("_at", "_others")

    def __init__(self, now: float) -> None:
        self._at, self._others = now, 0.0

    def count(self, others: int, now: float) -> float:
        """Count so many PDUs; seconds for which to read nothing, 0 for none."""
        self._others = max(0.0, self._others - (now - self._at) * OTHERS_PER_SECOND) + others
        self._at = now
        return max(0.0, self._others / OTHERS_PER_SECOND - 1.0)
