"""Which rules hold for a submit, and at what times: pure functions of the rule and the submit."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Final

from broadcast.smsc.profile.tables import Rule
from broadcast.smsc.submit_plan import WORD, mix

_WORD64: Final = 1 << 64


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
    """The conditions of one rule on a submit; `seed` decides the shares."""

    __slots__ = (
        "_first",
        "_number_share",
        "_numbers",
        "_parts",
        "_pattern",
        "_prefixes",
        "_rule",
        "_seed",
        "_share",
        "_timed",
    )

    def __init__(self, rule: Rule, seed: int) -> None:
        self._rule: Final = rule
        self._seed: Final = seed
        self._numbers: Final = frozenset(each.lstrip("+") for each in rule.numbers)
        self._prefixes: Final = tuple(each.lstrip("+") for each in rule.prefixes)
        self._pattern: Final[Callable[[str], object] | None] = (
            re.compile(rule.pattern).fullmatch if rule.pattern else None
        )
        self._parts: Final = frozenset(rule.parts)
        self._share: Final = None if rule.share is None else rule.share * WORD
        self._number_share: Final = None if rule.number_share is None else rule.number_share * WORD
        self._first: Final = rule.first
        self._timed: Final = bool(rule.from_seconds or rule.until_seconds is not None or rule.every_seconds)

    def matches(self, number: int, digits: str, part: int, repetition: int, elapsed: float) -> bool:
        """The rule holds for this submit: part `part` to `number`, sent `repetition` times before."""
        if self._timed and not is_active(self._rule, elapsed):
            return False
        if self._first is not None and repetition >= self._first:
            return False
        if self._parts and part not in self._parts:
            return False
        if self._numbers and digits not in self._numbers:
            return False
        if self._prefixes and not digits.startswith(self._prefixes):
            return False
        if self._pattern is not None and self._pattern(digits) is None:
            return False
        if self._number_share is not None and mix(self._seed ^ number) >> 32 >= self._number_share:
            return False
        return self._share is None or draw_word(self._seed, number, part, repetition) & 0xFFFFFFFF < self._share


def draw_word(seed: int, number: int, part: int, repetition: int) -> int:
    """64 random bits, always the same for the same submit."""
    return mix(mix(seed ^ number) ^ (part << 32 | repetition))
