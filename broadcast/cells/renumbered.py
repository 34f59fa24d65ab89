"""Numbers that countries have changed: the old form of each reaches nobody, or somebody else. Pure.

`phonenumbers` refuses most old forms, and then this table only gives the reason. Where its metadata still takes one,
the table refuses it. Sources: the national numbering plans at the ITU (E.129 and operational bulletins). Dates are
those of public reports of the change (regulators, newspapers, users of the library); without a report there is none.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Renumbering:
    """One change: `old` matches the digits after the plus sign, `reason` says what has become of such numbers."""

    country: str
    old: re.Pattern[str]
    reason: str


def _line(country: str, old: str, reason: str) -> Renumbering:
    return Renumbering(country, re.compile(old, re.ASCII), reason)


RENUMBERED: tuple[Renumbering, ...] = (
    _line("Benin", r"229[2-9][0-9]{7}", "has eight digits: since 30 November 2024 numbers of Benin begin with 01"),
    _line("Brazil", r"55[1-9]{2}[6-9][0-9]{7}", "is a mobile number of Brazil without the 9 that they have since 2016"),
    _line("Chile", r"56[5-9][0-9]{7}", "has one digit too few: mobile numbers of Chile have nine"),
    _line("Colombia", r"57[1-8][0-9]{7}", "is a number of Colombia before September 2021: fixed lines begin with 60"),
    _line(
        "Gabon",
        r"241(?:0[1-7][0-9]{6}|[2-7][0-9]{6})",
        "is a number of Gabon before 2019: they have had a new digit since then",
    ),
    _line(
        "Ivory Coast",
        r"225[0-9]{8}",
        "has eight digits: since 31 January 2021 numbers of Ivory Coast have ten, with a new prefix for each operator",
    ),
    _line("Mexico", r"521[0-9]{10}", "has the 1 that Mexico gave up in August 2019: leave it out"),
    _line(
        "Philippines",
        r"632[2-9][0-9]{6}",
        "is a number of Manila before October 2019: a digit of the operator, mostly 8 or 7, stands after the 2",
    ),
    _line(
        "Vietnam",
        r"841(?:2[0-9]|6[2-9]|8[68]|99)[0-9]{7}",
        "is a mobile number of Vietnam before 2018, which had eleven digits",
    ),
)
"""Every change that the rules know."""

CHANGED = frozenset(f"+{line.old.pattern[:2]}" for line in RENUMBERED)
"""What the numbers of these countries, and of some others, begin with."""


def find_renumbering(number: str) -> Renumbering | None:
    """The change that a number in E.164 form, plus sign first, has missed; None for a number of today."""
    return next((line for line in RENUMBERED if line.old.fullmatch(number, 1)), None)
