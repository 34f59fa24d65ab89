"""Numbering plans of countries, from the metadata of `phonenumbers`: which national numbers are valid."""

import re
from dataclasses import dataclass
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

MAILBOX = "voicemail"
TYPES = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "fixed_line",
    "mobile",
    MAILBOX,
)
PHONES = tuple(name for name in TYPES if name != MAILBOX)
"""The types that are no mailbox of another number."""


@dataclass(frozen=True, eq=False)
class Region:
    """One region of a country code: which numbers are its own, and which of them are valid."""

    leading_digits: re.Pattern[str] | None
    metadata: PhoneMetadata

    @cache  # noqa: B019 (there are 250 regions and 17 lengths, and all live as long as the process)
    def pattern(self, length: int, mailboxes: bool) -> re.Pattern[str] | None:
        """Matches the valid national numbers of this length, those of mailboxes too or not; None if there are none."""
        general = self.metadata.general_desc
        kinds = [getattr(self.metadata, name) for name in (TYPES if mailboxes else PHONES)]
        whole = _expression(general, length)
        fitting = [expression for kind in kinds if (expression := _expression(kind, length))]
        if not whole or not fitting:
            return None
        return re.compile(rf"(?=(?:{whole})\Z)(?:{'|'.join(fitting)})", re.ASCII)

    def valid(self, national: str, mailboxes: bool) -> bool:
        pattern = self.pattern(len(national), mailboxes)
        return pattern is not None and pattern.fullmatch(national) is not None


@dataclass(frozen=True, eq=False)
class Plan:
    """The numbering plan of one country code: its regions in the library's order, main region first."""

    regions: tuple[Region, ...]
    national_prefix: re.Pattern[str] | None
    plain_prefix: re.Pattern[str] | None
    """The same where it is only taken off; None where the library puts something else in its place."""

    def strips(self, national: str) -> bool:
        """Whether the library might take a national prefix off: then only it can tell."""
        return self.national_prefix is not None and self.national_prefix.match(national) is not None

    def plain_pattern(self, code: str, length: int) -> re.Pattern[str] | None:
        """Matches `code` and a valid national number of this length, of no mailbox, from which nothing is stripped.

        None if the plan has several regions, or no number of this length.
        """
        pattern = self.regions[0].pattern(length, mailboxes=False) if len(self.regions) == 1 else None
        if pattern is None:
            return None
        kept = f"(?!{self.national_prefix.pattern})" if self.national_prefix is not None else ""
        return re.compile(rf"{re.escape(code)}{kept}{pattern.pattern}", re.ASCII)

    def valid(self, national: str, *, mailboxes: bool = True) -> bool:
        """Whether the number is valid in the region that the library would place it in.

        The number of a mailbox is valid only with `mailboxes`.
        """
        if len(self.regions) == 1:
            return self.regions[0].valid(national, mailboxes)
        for region in self.regions:
            if region.leading_digits is None:
                if region.valid(national, mailboxes):
                    return True
            elif region.leading_digits.match(national):
                return region.valid(national, mailboxes)
        return False


def _expression(kind: PhoneNumberDesc | None, length: int) -> str | None:
    """The metadata's regular expression of one kind of number; None if it has none of this length."""
    if kind is None or (kind.possible_length and length not in kind.possible_length):
        return None
    return kind.national_number_pattern


def split_code(number: str) -> tuple[Plan | None, str]:
    """The plan and the national number of `+` and digits; no plan if no country has that code."""
    for end in range(2, min(len(number), 4) + 1):
        plan = plan_of(number[1:end])
        if plan is not None:
            return plan, number[end:]
    return None, ""


@cache
def plan_of(country_code: str) -> Plan | None:
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
    pattern = re.compile(prefix) if prefix else None
    plain = re.compile(rf"\A(?:{prefix})") if pattern is not None and not pattern.groups else None
    return Plan(tuple(regions), pattern, plain)


def is_country_code(digits: str) -> bool:
    """Whether a country has this calling code."""
    return digits.isdecimal() and int(digits) in COUNTRY_CODE_TO_REGION_CODE
