"""Phone numbers to E.164: a cell is a number only if it can be read in one way only.

All that stands in the cell must be that number.
Numbering plans are those of `phonenumbers`. What is not plainly a number of a plan goes to the library itself, which
takes 20 to 40 µs; the plan's own expressions take 2 µs. What the library would guess is refused: decimals, dates,
letters, two numbers in a cell, and digits that are valid both with and without the country code.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from broadcast.cells.digits import BRACKETS, NumberError, read_digits
from broadcast.cells.plans import is_country_code, plan_of, split_code
from broadcast.cells.renumbered import CHANGED, find_renumbering
from broadcast.cells.spellings import DOUBTED, find_spelling, may_be_other
from broadcast.errors import InputError

INTERNATIONAL = re.compile(r"\+[1-9][0-9]{5,14}", re.ASCII)
SEPARATORS = str.maketrans("", "", " -.()/")
SEPARATED = re.compile(r"\+[0-9](?:[ .()-]?[0-9])+", re.ASCII)
"""What may be stripped: single separators between digits, so that nothing that has a meaning is lost."""
SECOND = re.compile(r"[ .-]0[0-9]{2}|[.-][0-9]{1,2}\Z", re.ASCII)
"""What a second number may begin with, or the end of a range."""

USUAL = re.compile(r"[0-9]{5,17}|[0-9]{2,8}[ /-][1-9][0-9]{3,11}", re.ASCII)
"""Digits with at most one separator: no date, and no two numbers."""
GAPS = re.compile(r"[ /]+")

CHECKED = CHANGED | DOUBTED
"""What numbers begin with that are looked up in the tables."""

TAIL = re.compile(r"(?P<separator>[-.]) ?(?P<last>[0-9]{1,2})\Z", re.ASCII)
"""A short last group, which may be an extension or the end of a range."""

LEAST_OF_TWO = 5
"""Fewest digits of a number beside another in the same cell."""
LEAST_LENGTH, MOST_LENGTH = 7, 16
"""Of an E.164 number with its plus sign, as it is read here."""
LONGEST_USUAL = 4
"""Most digits of a group that another of two digits usually follows, as in 030-1234-56."""
DIGITS_SHOWN = 2


class Form(StrEnum):
    """What digits without a plus sign are that can be read both ways."""

    NATIONAL = "national"
    INTERNATIONAL = "international"


class MissingRegionError(NumberError):
    """Digits without a country code need a region."""

    def __init__(self) -> None:
        super().__init__("has no country code, and no default region is given")


class AmbiguousNumberError(NumberError):
    """A text can be read as several numbers, `readings`; the message shows the beginning of each."""

    def __init__(self, readings: tuple[str, ...], hint: str = "write it with + and its country code") -> None:
        self.readings = readings
        shown = " or ".join(map(_show, readings))
        super().__init__(f"can be read as {shown}: {hint}")


def check_region(region: str | None) -> str | None:
    """The ISO 3166 region in upper case; raises InputError for one that no numbering plan has."""
    if region is None:
        return None
    if region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise InputError(f"region is {region!r}: it must be an ISO 3166 code of two letters, like DE")
    return region.upper()


def country_prefix(msisdn: str) -> str:
    """The plus sign and the country calling code of an E.164 number; its first digits where no country has them."""
    codes = (msisdn[1:end] for end in range(2, 5))
    return f"+{next((code for code in codes if code and int(code) in COUNTRY_CODE_TO_REGION_CODE), msisdn[1:4])}"


def normalise(text: str, region: str | None, form: Form | None = None) -> str:
    """The E.164 form of a number, plus sign first; `region` reads numbers without a country code.

    Raises NumberError for what is no number or has changed since, AmbiguousNumberError for what can be several. 00
    before the country code is the plus sign that it stands for in most countries (ITU-T E.164, 7.3.1).
    """
    plain = plain_numbers(text[1:4], len(text))
    if plain is not None and plain.fullmatch(text):
        return text
    number = text
    if not INTERNATIONAL.fullmatch(text):
        number = text.translate(SEPARATORS) if SEPARATED.fullmatch(text) and not SECOND.search(text) else ""
    if INTERNATIONAL.fullmatch(number):
        plan, national = split_code(number)
        if plan is not None and not plan.strips(national) and plan.valid(national, mailboxes=False):
            return _look_up(number) if number[:3] in CHECKED else number
    found = readings(text, region, form)
    if len(found) > 1:
        raise AmbiguousNumberError(found)
    if not found:
        raise NumberError("is not a valid number in its country")
    return _check(found[0])


@lru_cache(16_384)
def plain_numbers(beginning: str, length: int) -> re.Pattern[str] | None:
    """Matches E.164 numbers of a country code and a length that are nothing but what they seem.

    They are valid, no mailbox, have no prefix that may be stripped, and are in no table. `beginning` are the characters
    after the plus sign. None where this takes more than one expression to tell, or none of them is valid.
    """
    number = f"+{beginning}"
    plan, national = split_code(number) if INTERNATIONAL.fullmatch(f"{number}000") else (None, "")
    looked_up = number[:3] in CHANGED or may_be_other(number)
    if plan is None or looked_up or not LEAST_LENGTH <= length <= MOST_LENGTH:
        return None
    code = number[: len(number) - len(national)]
    return plan.plain_pattern(code, length - len(code))


def readings(text: str, region: str | None, form: Form | None = None) -> tuple[str, ...]:
    """Every number in E.164 form that a cell can be read as; raises NumberError for what is none."""
    usual = USUAL.fullmatch(text) is not None
    body = text if usual else read_digits(text)
    if not body.startswith(("+", "00")) and region is None and form is None:
        raise MissingRegionError
    brackets = BRACKETS.search(body)
    found = _readings(body.translate(SEPARATORS), region, form)
    if brackets and body.startswith("(") and not is_country_code(brackets[1].removeprefix("00")):
        # An area code in brackets: no country code ends within it.
        found = {number for number in found if region and number.startswith(f"+{_code_of(region)}")}
    if brackets and brackets[1] == "0":
        found |= _readings(body.replace("(0)", "").translate(SEPARATORS), region, form)
    if len(found) <= 1:
        if not usual:
            _refuse_two(body, region, form)
            _refuse_tail(body, region, form)
        if not found:
            _refuse_old(body.translate(SEPARATORS), region)
    return tuple(sorted(found))


def _check(number: str) -> str:
    """The number itself; raises NumberError if it is that of a mailbox, or is in a table."""
    plan, national = split_code(number)
    mailbox = plan is not None and plan.valid(national) and not plan.valid(national, mailboxes=False)
    _look_up(number)
    if mailbox:
        raise NumberError("is the number of a mailbox: give the number of its phone")
    return number


def _look_up(number: str) -> str:
    """The number itself; raises NumberError if it is one of before a change, or may be misspelt."""
    _refuse_changed(number)
    found = find_spelling(number)
    if found is not None:
        pair, other = found
        plan, national = split_code(other)
        if plan is not None and plan.valid(national):
            raise AmbiguousNumberError((number, other), pair.hint)
    return number


def _refuse_changed(number: str) -> None:
    change = find_renumbering(number) if number[:3] in CHANGED else None
    if change is not None:
        raise NumberError(change.reason)


def _refuse_old(number: str, region: str | None) -> None:
    """Give the reason for a number that a country has changed, however it is written."""
    digits = number.removeprefix("+").removeprefix("00")
    wholes = [f"+{digits}"]
    if region and not number.startswith("+"):
        code = _code_of(region)
        plan = plan_of(code)
        wholes.append(f"+{code}{digits}")
        trunk = plan.national_prefix.match(digits) if plan is not None and plan.national_prefix is not None else None
        if trunk is not None:
            wholes.append(f"+{code}{digits[trunk.end() :]}")
    for whole in wholes:
        _refuse_changed(whole)


def _refuse_two(body: str, region: str | None, form: Form | None) -> None:
    """Raise NumberError if two numbers stand in a row, with a space or slash between them."""
    parts = GAPS.split(body)
    if len(parts) < 2:
        return
    for place in range(1, len(parts)):
        left, right = "".join(parts[:place]).translate(SEPARATORS), "".join(parts[place:]).translate(SEPARATORS)
        if min(len(left), len(right)) < LEAST_OF_TWO or not right.startswith("0"):
            continue
        first = _readings(left, region, form)
        beside = {other for code in map(country_prefix, first) for other in _of_plan(code[1:], right)}
        if first and (beside or _readings(right, region, form)):
            raise NumberError("can be read as two numbers: give each row one number")


def _refuse_tail(body: str, region: str | None, form: Form | None) -> None:
    """Raise NumberError if a number is complete before its last one or two digits, as in 0170 1234567-9.

    A last group of two is usual after a group of three, or of four where the same separator stands before it too.
    """
    tail = TAIL.search(body)
    if tail is None:
        return
    before = body[: tail.start()].rstrip()
    group = len(before) - len(before.rstrip("0123456789"))
    usual = LONGEST_USUAL if tail["separator"] in before else LONGEST_USUAL - 1
    if len(tail["last"]) > 1 and group <= usual:
        return
    if _readings(before.translate(SEPARATORS), region, form):
        raise NumberError("has an extension, or is a range: give the whole number of one phone")


def _readings(number: str, region: str | None, form: Form | None) -> set[str]:
    """The valid numbers that a plus sign, or none, and digits can be."""
    if number.startswith("+"):
        return set(_international(number))
    national = set(_of_plan(_code_of(region), number)) if region else set()
    abroad: set[str] = set()
    if number.startswith("00"):
        abroad.update(_international(f"+{number[2:]}"))
    elif not number.startswith("0"):
        abroad.update(_international(f"+{number}"))
    if region:
        exit_code = _exit_code(region).match(number)
        if exit_code:
            abroad.update(_international(f"+{number[exit_code.end() :]}"))
    if form is Form.NATIONAL:
        return national or abroad
    return abroad or national if form is Form.INTERNATIONAL else national | abroad


def _international(number: str) -> Iterator[str]:
    plan, national = split_code(number)
    if plan is not None:
        yield from _of_plan(number[1 : len(number) - len(national)], national)


def _of_plan(code: str, national: str) -> Iterator[str]:
    """The valid numbers of a country code that the digits after it, or without it, can be."""
    plan = plan_of(code)
    if plan is None:
        return
    if INTERNATIONAL.fullmatch(f"+{code}{national}") and plan.valid(national):
        yield f"+{code}{national}"
    if plan.strips(national):
        if plan.plain_prefix is not None:
            rest = plan.plain_prefix.sub("", national, count=1)
            if INTERNATIONAL.fullmatch(f"+{code}{rest}") and plan.valid(rest):
                yield f"+{code}{rest}"
            return
        try:
            number = phonenumbers.parse(f"+{code}{national}")
        except phonenumbers.NumberParseException:
            return
        if phonenumbers.is_valid_number(number):
            yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _show(number: str) -> str:
    prefix = country_prefix(number)
    national = number[len(prefix) :]
    return f"{prefix} {national[:DIGITS_SHOWN]}… ({len(number) - 1} digits)"


@cache
def _code_of(region: str) -> str:
    return str(phonenumbers.country_code_for_region(region))


@cache
def _exit_code(region: str) -> re.Pattern[str]:
    """What is dialled in a region before a country code; matches nothing where it is not known."""
    metadata = PhoneMetadata.metadata_for_region(region)
    return re.compile(
        metadata.international_prefix if metadata and metadata.international_prefix else r"(?!)", re.ASCII
    )
