"""Phone numbers to E.164, as `phonenumbers` reads them: its own answer for every form, fast for the usual one.

`phonenumbers` takes 20 to 40 µs a number. A number in international form needs little of it: the country code,
and one regular expression made from the library's own metadata, 2 µs. Whatever is not plainly of that form goes
to the library itself, so the answer is always the library's (a property test compares them), except that what would
be a stranger's number is refused: decimals, and letters, which the library dials as a keypad would.
"""

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

from broadcast.errors import InputError

INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
SEPARATORS = str.maketrans("", "", " -.()")
SEPARATED = re.compile(r"\+[0-9](?:[ .()-]?[0-9])+", re.ASCII)
"""What may be stripped: single separators between digits, so that nothing the library reads a meaning into is lost."""

TYPES = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)


SPREADSHEET = re.compile(r"\d{7,}[.,]\d{1,2}")
"""A number that a spreadsheet has made a decimal: 1701234567.0, whose last digit nobody has ever dialled."""


class NumberError(InputError):
    """A text is not a phone number that can be dialled: why. Never holds the number."""


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


def normalise(text: str, region: str | None) -> str:
    """The E.164 form of a number, plus sign first; `region` reads numbers without a country code.

    Without a region, 00 before the country code is read as the plus sign that it stands for in most countries (ITU-T
    E.164, 7.3.1). Raises NumberError when the text is not a number, is a decimal one, has an extension or letters
    after its first digit, or is not valid in its country's plan.
    """
    if region is None and text.startswith("00"):
        text = f"+{text[2:]}"
    number = text
    if SEPARATED.fullmatch(number):
        number = number.translate(SEPARATORS)
        if INTERNATIONAL.fullmatch(number):
            plan, national = _split(number)
            if plan is not None and not plan.strips(national):
                if plan.valid(national):
                    return number
                raise NumberError("is not a valid number in its country")
    return _ask_library(text, region)


def _ask_library(text: str, region: str | None) -> str:
    if SPREADSHEET.fullmatch(text):
        raise NumberError("is a decimal number, as spreadsheets write them: export the column as text")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and not text.startswith("+"):
            raise NumberError("has no country code, and no default region is given") from None
        raise NumberError("is not a phone number") from None
    if number.extension:
        raise NumberError("has an extension: an SMS cannot reach it")
    if _has_letters(text):
        raise NumberError("has letters after its first digit: give digits only")
    if not phonenumbers.is_valid_number(number):
        raise NumberError("is not a valid number in its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _has_letters(text: str) -> bool:
    """After the first digit; what stands before it, like "Tel.", the library leaves out."""
    first = next((place for place, character in enumerate(text) if character.isdigit()), 0)
    return any(character.isalpha() for character in text[first:])


@dataclass(frozen=True, eq=False)
class Region:
    """One region of a country code: which numbers are its own, and which of them are valid."""

    leading_digits: re.Pattern[str] | None
    metadata: PhoneMetadata

    @cache  # noqa: B019 (there are 250 regions and 17 lengths, and all live as long as the process)
    def pattern(self, length: int) -> re.Pattern[str] | None:
        """Matches the valid national numbers of this length; None if there are none."""
        general = self.metadata.general_desc
        kinds = [getattr(self.metadata, name) for name in TYPES]
        whole = _expression(general, length)
        fitting = [expression for kind in kinds if (expression := _expression(kind, length))]
        if not whole or not fitting:
            return None
        return re.compile(rf"(?=(?:{whole})\Z)(?:{'|'.join(fitting)})", re.ASCII)

    def valid(self, national: str) -> bool:
        pattern = self.pattern(len(national))
        return pattern is not None and pattern.fullmatch(national) is not None


@dataclass(frozen=True, eq=False)
class Plan:
    """The numbering plan of one country code: its regions in the library's order, main region first."""

    regions: tuple[Region, ...]
    national_prefix: re.Pattern[str] | None

    def strips(self, national: str) -> bool:
        """Whether the library might take a national prefix off: then only it can tell."""
        return self.national_prefix is not None and self.national_prefix.match(national) is not None

    def valid(self, national: str) -> bool:
        """Whether the number is valid in the region that the library would place it in."""
        if len(self.regions) == 1:
            return self.regions[0].valid(national)
        for region in self.regions:
            if region.leading_digits is None:
                if region.valid(national):
                    return True
            elif region.leading_digits.match(national):
                return region.valid(national)
        return False


def _expression(kind: PhoneNumberDesc | None, length: int) -> str | None:
    """The metadata's regular expression of one kind of number; None if it has none of this length."""
    if kind is None or (kind.possible_length and length not in kind.possible_length):
        return None
    return kind.national_number_pattern


def _split(number: str) -> tuple[Plan | None, str]:
    """The plan and the national number of `+` and digits; no plan if no country has that code."""
    for end in (2, 3, 4):
        plan = _plan(number[1:end])
        if plan is not None:
            return plan, number[end:]
    return None, ""


@cache
def _plan(country_code: str) -> Plan | None:
    code = int(country_code)
    names = COUNTRY_CODE_TO_REGION_CODE.get(code)
    if names is None:
        return None
    regions = []
    for name in names:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, name)
        assert metadata is not None  # noqa: S101 (the library's two tables belong together)
        leading = metadata.leading_digits
        regions.append(Region(re.compile(leading) if leading else None, metadata))
    prefix = regions[0].metadata.national_prefix_for_parsing
    return Plan(tuple(regions), re.compile(prefix) if prefix else None)
