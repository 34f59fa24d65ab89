"""Numbers: the fast way and the library's own answer are one and the same."""

import re

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broadcast.audience.numbers import NumberError, check_region, normalise
from broadcast.errors import InputError

E164 = phonenumbers.PhoneNumberFormat.E164


def examples() -> list[str]:
    """A number of every kind that every region and every country code has."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    found = [phonenumbers.example_number_for_type(region, kind) for region in regions for kind in range(11)]
    codes = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    found += [phonenumbers.example_number_for_non_geo_entity(code) for code in codes]
    return [phonenumbers.format_number(number, E164) for number in found if number is not None]


EXAMPLES = examples()


def library(text: str, region: str | None) -> str | None:
    """What phonenumbers says: E.164 of a valid number without extension, or None; None too where it is another's."""
    if re.search(r"\d.*[^\W\d_]", text) or re.fullmatch(r"\d{7,}[.,]\d\d?", text):
        return None
    if region is None and text.startswith("00"):
        text = f"+{text[2:]}"
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, E164)


def ours(text: str, region: str | None) -> str | None:
    try:
        return normalise(text, region)
    except NumberError:
        return None


@st.composite
def near_numbers(draw: st.DrawFn) -> str:
    """A valid number with digits changed, added or taken away, and separators put in."""
    digits = list(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        digits[draw(st.integers(1, len(digits) - 1))] = draw(st.sampled_from("0123456789"))
    change = draw(st.sampled_from(("none", "none", "longer", "shorter", "separated")))
    place = draw(st.integers(1, len(digits) - 1))
    if change == "longer":
        digits.insert(place, draw(st.sampled_from("0123456789")))
    elif change == "shorter":
        digits.pop(place)
    elif change == "separated":
        for _ in range(draw(st.integers(1, 4))):
            digits.insert(draw(st.integers(0, len(digits))), draw(st.sampled_from(" -.()/x;")))
    return "".join(digits)


def test_there_are_examples_of_every_country() -> None:
    assert len(EXAMPLES) > 1000
    assert {ours(text, None) for text in EXAMPLES} == {library(text, None) for text in EXAMPLES}


@pytest.mark.timeout(600)
@settings(max_examples=3000, deadline=None)
@given(near_numbers(), st.sampled_from((None, "DE", "US", "IT", "AR")))
@example("+49 (0)151 12345678", None)
@example("+5491123456789", None)
@example("+390612345678", None)
@example("+1 (242) 365-1234", "DE")
def test_international_numbers_are_read_as_the_library_reads_them(text: str, region: str | None) -> None:
    assert ours(text, region) == library(text, region)


@settings(max_examples=1000, deadline=None)
@given(st.from_regex(r"\+[0-9]{1,17}", fullmatch=True))
def test_any_digits_are_read_as_the_library_reads_them(text: str) -> None:
    assert ours(text, None) == library(text, None)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="+0123456789 ()-./xé٣", max_size=20), st.sampled_from((None, "DE", "US")))
def test_any_text_is_read_as_the_library_reads_it(text: str, region: str | None) -> None:
    assert ours(text, region) == library(text, region)


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+4915112345678", None, "+4915112345678"),
        ("+49 151 1234-5678", None, "+4915112345678"),
        ("0049 151 12345678", "DE", "+4915112345678"),
        ("0049 151 12345678", None, "+4915112345678"),
        ("0151/12345678", "DE", "+4915112345678"),
        ("(0151) 123 456 78", "de", "+4915112345678"),
        ("07400 123456", "GB", "+447400123456"),
        ("(202) 456-1111", "US", "+12024561111"),
        ("0151.1234.5678", "DE", "+4915112345678"),
        ("Tel. 0151 12345678", "DE", "+4915112345678"),
        ("+٤٩١٥١١٢٣٤٥٦٧٨", None, "+4915112345678"),
    ],
)
def test_usual_forms(text: str, region: str | None, number: str) -> None:
    assert normalise(text, check_region(region)) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0151 12345678", "no country code"),
        ("+49151", "not a valid number"),
        ("+999123456789", "not a phone number"),
        ("nobody", "not a phone number|no country code"),
        ("+4915112345678 ext. 5", "extension"),
    ],
)
def test_refusals_say_why_and_keep_the_number_to_themselves(text: str, reason: str) -> None:
    with pytest.raises(NumberError, match=reason) as refusal:
        normalise(text, None)
    assert not any(character.isdigit() for character in str(refusal.value))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1701234567.0", "decimal"),
        ("491.70123E9", "letters"),
        ("0170 123 Papa", "letters"),
        ("1-800-FLOWERS", "letters"),
        ("+49 170 123 PAPA", "letters"),
    ],
)
def test_what_the_library_reads_as_a_strangers_number_is_refused(text: str, reason: str) -> None:
    assert phonenumbers.is_valid_number(phonenumbers.parse(text, "DE"))
    with pytest.raises(NumberError, match=reason):
        normalise(text, "DE")


def test_region_must_exist() -> None:
    assert check_region("de") == "DE"
    with pytest.raises(InputError, match="'XX'"):
        check_region("XX")
