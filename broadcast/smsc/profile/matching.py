"""Which rules hold for a submit, and at what times: pure functions of the rule and the submit."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Final

from broadcast.smsc.profile.tables import Rule
from broadcast.smsc.submit_plan import MASK, WORD, mix


def is_active(rule: Rule, elapsed: float) -> bool:
    """The rule's time has come: within from and until, and within the first `for_seconds` of each period."""
    if elapsed < rule.from_seconds or (rule.until_seconds is not None and elapsed >= rule.until_seconds):
        return False
    if rule.every_seconds is None or rule.for_seconds is None:
        return True
    return (elapsed - rule.from_seconds) % rule.every_seconds < rule.for_seconds


def next_change(rules: Iterable[Rule], elapsed: float) -> float | None:
    """The first moment after `elapsed` at which a rule begins or ends to be active; None if there is none."""
    moments = []
    for rule in rules:
        moments += [rule.from_seconds, rule.until_seconds]
        if rule.every_seconds is not None and rule.for_seconds is not None:
            periods = max(0, math.floor((elapsed - rule.from_seconds) / rule.every_seconds))
            for period in (periods, periods + 1):
                begin = rule.from_seconds + period * rule.every_seconds
                moments += [
                    moment
                    for moment in (begin, begin + rule.for_seconds)
                    if rule.until_seconds is None or moment < rule.until_seconds
                ]
    return min((moment for moment in moments if moment is not None and moment > elapsed), default=None)


class Matcher:
    """The conditions of one rule on a submit, but for its times; `seed` decides the shares.

    A submit's words are `draw_word` and `number_word`, made once for all rules: each rule multiplies them by an odd
    number of its own, so that its share is independent of those of other rules.
    """

    __slots__ = (
        "_first",
        "_multiplier",
        "_number_share",
        "_numbers",
        "_parts",
        "_pattern",
        "_prefixes",
        "_share",
        "by_share",
        "for_all",
    )

    def __init__(self, rule: Rule, seed: int) -> None:
        self._multiplier: Final = mix(seed) | 1
        self._numbers: Final = frozenset(each.lstrip("+") for each in rule.numbers)
        self._prefixes: Final = tuple(each.lstrip("+") for each in rule.prefixes)
        self._pattern: Final[Callable[[str], object] | None] = (
            re.compile(rule.pattern).fullmatch if rule.pattern else None
        )
        self._parts: Final = frozenset(rule.parts)
        self._share: Final = None if rule.share is None else rule.share * WORD
        self._number_share: Final = None if rule.number_share is None else rule.number_share * WORD
        self._first: Final = rule.first
        conditions = bool(
            self._numbers or self._prefixes or self._pattern or self._parts or self._number_share is not None
        )
        more = conditions or self._first is not None
        # It holds for every submit.
        self.for_all: Final = not more and self._share is None
        # Where the share is the only condition, it holds if the word times the first number is below the second.
        self.by_share: Final = None if more or self._share is None else (self._multiplier, math.ceil(self._share) << 32)

    def matches(self, words: tuple[int, int], digits: str, part: int, repetition: int) -> bool:
        """The rule holds for this submit: part `part` to `digits`, sent `repetition` times before."""
        if self._share is not None and (words[0] * self._multiplier & MASK) >> 32 >= self._share:
            return False
        if self._number_share is not None and (words[1] * self._multiplier & MASK) >> 32 >= self._number_share:
            return False
        if self._first is not None and repetition >= self._first:
            return False
        if self._parts and part not in self._parts:
            return False
        if self._numbers and digits not in self._numbers:
            return False
        if self._prefixes and not digits.startswith(self._prefixes):
            return False
        return self._pattern is None or self._pattern(digits) is not None


def number_word(seed: int, number: int) -> int:
    """64 random bits, always the same for the same number."""
    return mix(seed ^ number)


def draw_word(number_bits: int, part: int, repetition: int) -> int:
    """64 random bits, always the same for the same part to the same number, sent as often before."""
    return mix(number_bits ^ (part << 32 | repetition))
