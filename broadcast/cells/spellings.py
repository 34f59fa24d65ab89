"""Phones that have two spellings in E.164: the one that is read, and the other, which is refused. Pure.

Read both ways, one phone would be two people, and get every message twice. Which of the two an SMS reaches is nothing
that a cell can tell. `other` and `spelling` stand for each other at the beginning of a number, digits without the plus
sign. Sources: the metadata of `phonenumbers`, and the national numbering plans at the ITU (E.129).
"""

import re
from dataclasses import dataclass

WRITTEN = " is written with"
"""What every hint says."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """Numbers that begin with `other` and those that begin with `spelling`, if `rest` matches what follows."""

    country: str
    other: str
    spelling: str
    rest: re.Pattern[str]
    hint: str


def _line(country: str, other: str, spelling: str, rest: str, hint: str) -> Spelling:
    return Spelling(country, other, spelling, re.compile(rest, re.ASCII), hint)


SPELLINGS: tuple[Spelling, ...] = (
    _line(
        *("Argentina", "54", "549", r"[1-3][0-9]{9}"),
        "a mobile number of Argentina is written with 9 after +54; landlines get no SMS",
    ),
    _line(
        *("Italy", "390", "39", r"3[0-9]{8,9}"),
        "a mobile number of Italy is written without 0; landlines get no SMS",
    ),
    _line("San Marino", "390549", "3780549", r"[0-9]{6}", "a number of San Marino is written with +378"),
    _line("Kosovo", "37744", "38344", r"[0-9]{6}", "a number of Kosovo is written with +383 since 2019"),
    _line("Kosovo", "37745", "38345", r"[0-9]{6}", "a number of Kosovo is written with +383 since 2019"),
    _line("Kosovo", "38643", "38343", r"[0-9]{6}", "a number of Kosovo is written with +383 since 2019"),
    _line("Kosovo", "38649", "38349", r"[0-9]{6}", "a number of Kosovo is written with +383 since 2019"),
)
"""Every pair that the rules know."""

DOUBTED = frozenset(f"+{pair.other[:2]}" for pair in SPELLINGS) | frozenset(
    f"+{pair.spelling[:2]}" for pair in SPELLINGS
)
"""What the numbers of these countries, and of some others, begin with."""


OTHERS = tuple(f"+{pair.other}" for pair in SPELLINGS)
"""What numbers in the other spelling begin with, and some others."""


def may_be_other(beginning: str) -> bool:
    """Whether a number that begins so may be one in the other spelling."""
    return beginning.startswith(OTHERS) or any(other.startswith(beginning) for other in OTHERS)


def find_spelling(number: str) -> tuple[Spelling, str] | None:
    """The pair of a number in the other spelling, and the number in the one that is read; else None."""
    if not number.startswith(OTHERS):
        return None
    for pair in SPELLINGS:
        if (rest := _rest(number, pair.other, pair)) is not None:
            return pair, f"+{pair.spelling}{rest}"
    return None


def other_spellings(number: str) -> tuple[str, ...]:
    """The other spellings of an E.164 number, under which it may be stored from before; mostly none."""
    if number[:3] not in DOUBTED:
        return ()
    found = ((pair.other, _rest(number, pair.spelling, pair)) for pair in SPELLINGS)
    return tuple(f"+{other}{rest}" for other, rest in found if rest is not None)


def all_spellings(number: str) -> tuple[str, ...]:
    """An E.164 number in every spelling, its own first."""
    found = find_spelling(number)
    return number, *other_spellings(number), *((found[1],) if found is not None else ())


def _rest(number: str, beginning: str, pair: Spelling) -> str | None:
    start = len(beginning) + 1
    return number[start:] if number.startswith(beginning, 1) and pair.rest.fullmatch(number, start) else None
