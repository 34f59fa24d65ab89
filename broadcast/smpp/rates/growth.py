"""How fast a rate grows again after a cut, by the time since the last throttled answer. Pure: `now` is passed in."""

from typing import Final

GROWTH_OF_CEILING: Final = 0.01
GROWTH_OF_RATE: Final = 0.015
"""By such shares of the ceiling and of itself the rate always grows in a second."""
MOST_GENTLE: Final = 0.2
"""But by no more than such a share of itself."""
GENTLE_SECONDS: Final = 1.0
FULL_SECONDS: Final = 3.5
"""Without a throttled answer the growth becomes faster after the first, and reaches the ceiling after the second."""


def gentle_growth(ratio: float) -> float:
    """Which share of the ceiling a rate always grows in a second, by its own share of the ceiling."""
    return min(GROWTH_OF_CEILING + GROWTH_OF_RATE * ratio, MOST_GENTLE * ratio)


def quick_growth(quiet: float) -> float:
    """By which share of the ceiling the rate has grown beside the gentle growth, so long after the last throttling."""
    if quiet <= GENTLE_SECONDS:
        return 0.0
    if quiet <= FULL_SECONDS:
        return ((quiet - GENTLE_SECONDS) / (FULL_SECONDS - GENTLE_SECONDS)) ** 2
    # Only without a limit: the ceiling doubles within half a second.
    return 1.0 + 2.0 * (quiet - FULL_SECONDS)
