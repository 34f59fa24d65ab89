"""Delays in seconds: constant, uniform, exponential, or a share of one and the rest of another. Pure."""

import math
from typing import Annotated, Final

import msgspec

from broadcast.smsc.submit_plan import WORD, mix

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_LOW: Final = WORD - 1


class Delay(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A distribution, as a profile writes it; `draw` takes a value from it.

    One of: `uniform` [least, most]; `exponential` with this mean; `share` of `seconds` and the rest `otherwise`, each
    a number or a distribution. `at_most` limits any of them.
    """

    uniform: tuple[Seconds, Seconds] | None = None
    exponential: Seconds | None = None
    share: Share | None = None
    seconds: "float | Delay | None" = None
    otherwise: "float | Delay" = 0.0
    at_most: Seconds | None = None

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        chosen = [name for name in ("uniform", "exponential", "share") if getattr(self, name) is not None]
        if len(chosen) != 1:
            return f"has {' and '.join(chosen) or 'none'} of uniform, exponential and share; exactly one is possible"
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            return f"uniform = {list(self.uniform)}: the first number is above the second"
        if self.share is not None and self.seconds is None:
            return "share without seconds: write { share = 0.05, seconds = 40, otherwise = 0.02 }"
        for part in (self.seconds, self.otherwise):
            if isinstance(part, Delay):
                inner = part.problem()
                if inner is not None:
                    return inner
            elif part is not None and part < 0:
                return f"{part} seconds are below 0"
        return None


def draw(delay: float | Delay, word: int) -> float:
    """Seconds from the distribution; `word` is 64 random bits, and the same word gives the same seconds."""
    if not isinstance(delay, Delay):
        return delay
    first = (word & _LOW) / WORD
    if delay.uniform is not None:
        least, most = delay.uniform
        seconds = least + first * (most - least)
    elif delay.exponential is not None:
        seconds = -math.log(1.0 - first) * delay.exponential
    else:
        chosen = delay.seconds if first < (delay.share or 0.0) else delay.otherwise
        seconds = draw(0.0 if chosen is None else chosen, mix(word))
    return seconds if delay.at_most is None else min(seconds, delay.at_most)
