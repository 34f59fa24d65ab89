"""Numbers: what is accepted is the only reading of a cell, and the library's own answer."""

import re
import unicodedata

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broadcast.cells.digits import NumberError
from broadcast.cells.numbers import (
    AmbiguousNumberError,
    Form,
    check_region,
    country_prefix,
    normalise,
    plain_numbers,
    readings,
)
from broadcast.cells.plans import split_code
from broadcast.cells.renumbered import find_renumbering
from broadcast.cells.spellings import SPELLINGS, all_spellings, find_spelling, other_spellings
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


def as_written(digits: str) -> str | None:
    """The number whose country code and national number these digits are, if phonenumbers says that it is valid."""
    for end in (1, 2, 3):
        if digits[:end] and int(digits[:end]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE and digits[end:]:
            national = digits[end:]
            zeros = len(national) - len(national.lstrip("0"))
            number = phonenumbers.PhoneNumber(
                country_code=int(digits[:end]),
                national_number=int(national),
                italian_leading_zero=zeros > 0 or None,
                number_of_leading_zeros=zeros if zeros > 1 else None,
            )
            right = len(national) < 18 and phonenumbers.is_valid_number(number)
            return phonenumbers.format_number(number, E164) if right else None
    return None


def library(text: str, region: str | None) -> str | None:
    """What phonenumbers reads."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, E164) if phonenumbers.is_valid_number(number) else None


def all_readings(text: str, region: str | None) -> set[str]:
    """Whatever the digits of a text can be, with and without the country code, found by trying everything."""
    digits = "".join(str(unicodedata.decimal(each)) for each in text if each.isdecimal())
    if "+" in text:
        tried = [as_written(digits), library(f"+{digits}", None)]
    else:
        tried = [library(digits, region)] if region else []
        exits = ["", "00"] if not text.startswith("(") else ["00"]
        for start in exits:
            if digits.startswith(start) and not digits.removeprefix(start).startswith("0"):
                tried += [as_written(digits.removeprefix(start)), library(f"+{digits.removeprefix(start)}", None)]
        if region:
            code = phonenumbers.country_code_for_region(region)
            tried += [as_written(f"{code}{digits}"), library(f"+{code}{digits}", None)]
    return {number for number in tried if number is not None and len(number) <= len("+") + 15}


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


def test_a_number_in_e164_is_itself_in_every_country() -> None:
    assert len(EXAMPLES) > 1000
    today = [number for number in EXAMPLES if find_renumbering(number) is None]
    assert {country_prefix(number) for number in EXAMPLES if number not in today} <= {"+241"}
    mobile = [number for number in today if is_type(number, phonenumbers.PhoneNumberType.MOBILE)]
    assert len(mobile) > 200
    assert [number for number in mobile if ours(number, None) != number] == []
    others = [number for number in today if ours(number, None) != number]
    misspelt = [number for number in others if find_spelling(number) is not None]
    assert {country_prefix(number) for number in misspelt} == {"+54"}
    mailboxes = [number for number in others if number not in misspelt]
    assert len(mailboxes) > 10
    assert all(is_type(number, phonenumbers.PhoneNumberType.VOICEMAIL) for number in mailboxes)


def is_type(number: str | None, kind: int) -> bool:
    return number is not None and phonenumbers.number_type(phonenumbers.parse(number)) == kind


ASCENSION = "247"
"""Other numbers of it begin with 0."""
MOBILES = [number for number in EXAMPLES if is_type(number, phonenumbers.PhoneNumberType.MOBILE)]


def spellings(number: str) -> list[tuple[str, str | None]]:
    """How the library writes a number, each with the region in which it is read, and with a prefix that is too much."""
    parsed = phonenumbers.parse(number)
    assert parsed.country_code is not None
    region = phonenumbers.region_code_for_number(parsed) or ""
    national = phonenumbers.national_significant_number(parsed)
    code = str(parsed.country_code)
    token = phonenumbers.phonenumberutil.country_mobile_token(parsed.country_code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return [(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL), None)]
    prefix = metadata.national_prefix or ""
    written: list[tuple[str, str | None]] = [
        (phonenumbers.format_number(parsed, form), region if form == phonenumbers.PhoneNumberFormat.NATIONAL else None)
        for form in vars(phonenumbers.PhoneNumberFormat).values()
        if isinstance(form, int)
    ]
    written += [(phonenumbers.format_number_for_mobile_dialing(parsed, region, True), region)]
    written += [(phonenumbers.format_out_of_country_calling_number(parsed, "DE"), "DE"), (national, region)]
    written += [(f"+{code}{prefix}{national}", None), (f"+{code} (0) {national}", None)]
    written += [(f"+{code}0{national}", None)] if code != ASCENSION else []
    written += [(f"+{code}{national.removeprefix(token)}", None), (f"{prefix}{national.removeprefix(token)}", region)]
    return [(text, where) for text, where in written if text]


def test_a_phone_is_one_number_in_every_spelling() -> None:
    read = [(number, each, ours(*each)) for number in MOBILES for each in spellings(number)]
    assert len(read) > 2000
    assert [fault for fault in read if fault[2] not in {fault[0], None}] == []


def test_every_country_with_a_sign_of_mobile_numbers_is_in_the_table() -> None:
    token = phonenumbers.phonenumberutil.country_mobile_token
    codes = [code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if token(code)]
    assert codes
    pairs = {(pair.other, pair.spelling) for pair in SPELLINGS}
    assert {(str(code), f"{code}{token(code)}") for code in codes} <= pairs


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPELLINGS), st.data())
def test_of_two_spellings_at_most_one_is_read(pair: object, data: st.DataObject) -> None:
    assert isinstance(pair, type(SPELLINGS[0]))
    rest = data.draw(st.from_regex(pair.rest, fullmatch=True))
    other, right = f"+{pair.other}{rest}", f"+{pair.spelling}{rest}"
    assert ours(other, None) is None or ours(right, None) is None
    assert other in other_spellings(right)
    assert set(all_spellings(other)) >= {other, right} <= set(all_spellings(right))
    plan, national = split_code(right)
    if plan is not None and plan.valid(national) and all_readings(other, None) == {other}:
        with pytest.raises(AmbiguousNumberError, match="is written with") as refusal:
            normalise(other, None)
        assert refusal.value.readings == (other, right)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.sampled_from(EXAMPLES), near_numbers()))
@example("+4915112345678")
@example("+49170131312345")
def test_the_short_way_reads_a_number_as_the_long_way_does(text: str) -> None:
    plain = plain_numbers(text[1:4], len(text))
    if plain is not None and plain.fullmatch(text):
        assert readings(text, None) == (text,)
        assert all_readings(text, None) == {text}
        assert find_renumbering(text) is None
        assert find_spelling(text) is None
        plan, national = split_code(text)
        assert plan is not None
        assert plan.valid(national, mailboxes=False)


def test_most_mobile_numbers_go_the_short_way() -> None:
    short = [number for number in MOBILES if plain_numbers(number[1:4], len(number)) is not None]
    assert len(short) > len(MOBILES) / 2


REGIONS = (None, "DE", "US", "IT", "AR", "RU", "HU", "BR")


@pytest.mark.timeout(600)
@settings(max_examples=1000, deadline=None)
@given(near_numbers(), st.sampled_from(REGIONS), st.booleans())
@example("+49 (0)151 12345678", None, True)
@example("+5491123456789", None, True)
@example("+390612345678", None, True)
@example("+1 (242) 365-1234", "DE", True)
@example("+4930123456", "DE", False)
@example("+491701234567", "DE", False)
def test_what_is_accepted_is_the_only_reading(text: str, region: str | None, with_plus: bool) -> None:
    text = text if with_plus else text.replace("+", "", 1)
    number = ours(text, region)
    if number is not None:
        assert all_readings(text, region) == {number}


@settings(max_examples=1000, deadline=None)
@given(st.text(alphabet="+0123456789 ()-./xe,;\n\u00a0\u200bé٣", max_size=24), st.sampled_from(REGIONS))
def test_whatever_is_accepted_of_any_text_is_the_only_reading(text: str, region: str | None) -> None:
    number = ours(text, region)
    if number is not None:
        assert all_readings(text, region) == {number}
        assert not set(text) & set("xe,;é")


@settings(max_examples=1000, deadline=None)
@given(st.from_regex(r"\+[0-9]{1,17}", fullmatch=True))
def test_a_plus_sign_and_digits_are_read_as_the_library_reads_them(text: str) -> None:
    assert ours(text, None) in {library(text, None), None}
    known = find_renumbering(text) is not None or find_spelling(text) is not None
    found = library(text, None)
    mailbox = is_type(found, phonenumbers.PhoneNumberType.VOICEMAIL)
    if not known and len(all_readings(text, None)) == 1 and not mailbox:
        assert ours(text, None) == library(text, None)


@settings(max_examples=500, deadline=None)
@given(near_numbers(), near_numbers(), st.sampled_from([" ", "/", ",", ";", "\n", " / ", ", ", " oder ", "; "]))
def test_two_numbers_in_a_cell_are_none(first: str, second: str, between: str) -> None:
    assert ours(f"{first}{between}{second}", "DE") is None


ENDS = ("-{}", " - {}", "\u2013{}", ".{}", "/{}", " / {}", ", {}", ";{}", " und {}", " bis {}", "&{}", "+{}", "...{}")
EXTENSIONS = (" x{}", "x{}", " ext. {}", " Durchwahl {}", ";ext={}", " #{}", "({})", " ({})")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MOBILES), st.sampled_from(ENDS + EXTENSIONS), st.integers(0, 99), st.booleans())
def test_a_range_or_an_extension_is_no_longer_number(number: str, end: str, last: int, national: bool) -> None:
    parsed = phonenumbers.parse(number)
    region = phonenumbers.region_code_for_number(parsed) if national else None
    digits = phonenumbers.national_significant_number(parsed) if national and region != "001" else number
    text = f"{digits}{end.format(last)}"
    if ours(digits, region) is not None:
        with pytest.raises(NumberError, match=r"range|extension|more than one|decimal|can be read"):
            normalise(text, region)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("030-1234-56", "+4930123456"),
        ("030-123-45-67", "+49301234567"),
        ("030 123-45-67", "+49301234567"),
        ("0170-123-45-67", "+491701234567"),
        ("0170 12 34 56-7", "+491701234567"),
        ("0170 123 45 67", "+491701234567"),
        ("0170.123.45.67", "+491701234567"),
        ("+33 6-12-34-56-78", "+33612345678"),
        ("+33.6.12.34.56.78", "+33612345678"),
        ("+7 912 345-67-89", "+79123456789"),
        ("tel:+49-170-123-45-67", "+491701234567"),
    ],
)
def test_short_groups_at_the_end_are_no_range(text: str, number: str) -> None:
    assert normalise(text, "DE") == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("tel:+49-170-1234567", "+491701234567"),
        ("TEL:+49-170-1234567", "+491701234567"),
        ("tel:+49(170)1234567", "+491701234567"),
        ("tel:0170-1234567;phone-context=+49", "+491701234567"),
        ("tel:170-1234567;phone-context=+49", "+491701234567"),
        ("tel:1234567;Phone-Context=+49-170", "+491701234567"),
    ],
)
def test_addresses_of_rfc_3966(text: str, number: str) -> None:
    assert normalise(text, None) == number
    assert normalise(text, "US") == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tel:+49-170-1234567;ext=5", "extension"),
        ("tel:0170-1234567;ext=5;phone-context=+49", "extension"),
        ("tel:+49-170-1234567;isub=12", "parameter 'isub'"),
        ("tel:+49-170-1234567;npdi", "parameter 'npdi'"),
        ("tel:0170-1234567;phone-context=example.com", "phone-context"),
        ("tel:+49-170-1234567;phone-context=+49", "phone-context"),
        ("tel:0170-1234567-9;phone-context=+49", "range"),
        ("tel:0170 1234567; 0171 1234567", "more than one"),
    ],
)
def test_addresses_of_rfc_3966_that_are_no_number_alone(text: str, reason: str) -> None:
    with pytest.raises(NumberError, match=reason) as refusal:
        normalise(text, "DE")
    assert "1234567" not in str(refusal.value)


@pytest.mark.parametrize(
    ("form", "text", "number"),
    [
        (Form.INTERNATIONAL, "491701234567", "+491701234567"),
        (Form.INTERNATIONAL, "4930123456", "+4930123456"),
        (Form.INTERNATIONAL, "0160 1234568", "+491601234568"),
        (Form.NATIONAL, "17012345678", "+4917012345678"),
        (Form.NATIONAL, "0049 170 1234567", "+491701234567"),
        (Form.NATIONAL, "+1 202 456 1111", "+12024561111"),
    ],
)
def test_who_knows_the_form_of_a_file_settles_its_numbers(form: Form, text: str, number: str) -> None:
    assert normalise(text, "DE", form) == number


@pytest.mark.parametrize("text", ["491701234567", "491721234567", "4915112345678", "4917612345678"])
def test_digits_with_two_readings_are_refused_and_both_are_told(text: str) -> None:
    with pytest.raises(AmbiguousNumberError) as refusal:
        normalise(text, "DE")
    assert refusal.value.readings == (f"+{text}", f"+49{text}")
    assert f"+49 {text[2:4]}… or +49 49…" in re.sub(r" \(\d+ digits\)", "", str(refusal.value))
    assert text not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+2290195123456", "+2290195123456"),
        ("+2250712345678", "+2250712345678"),
        ("+525512345678", "+525512345678"),
        ("+54 11 15 2345 6789", "+5491123456789"),
        ("+39 06 1234 5678", "+390612345678"),
        ("+24166123456", "+24166123456"),
    ],
)
def test_countries_that_have_changed_their_numbers(text: str, number: str) -> None:
    assert normalise(text, None) == number


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("+22995123456", None, "30 November 2024"),
        ("95123456", "BJ", "30 November 2024"),
        ("+22507123456", None, "31 January 2021"),
        ("+5215512345678", None, "Mexico"),
        ("0052 1 55 1234 5678", None, "Mexico"),
        ("+551181234567", None, "Brazil"),
        ("+5691234567", None, "Chile"),
        ("+5712345678", None, "Colombia"),
        ("+24106123456", None, "Gabon"),
        ("+6322345678", None, "Manila"),
        ("+841681234567", None, "Vietnam"),
        ("011 8123-4567", "BR", "Brazil"),
    ],
)
def test_a_number_from_before_a_change_is_refused_with_the_change(text: str, region: str | None, reason: str) -> None:
    with pytest.raises(NumberError, match=reason):
        normalise(text, region)


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
        ("Handy: 0151 12345678", "DE", "+4915112345678"),
        ("tel:+4915112345678", None, "+4915112345678"),
        ("'+4915112345678", None, "+4915112345678"),
        ('="+4915112345678"', None, "+4915112345678"),
        ("+49\u00a0151\u200b1234\u20135678", None, "+4915112345678"),
        ("０１５１１２３４５６７８", "DE", "+4915112345678"),
        ("+49 (0)151 12345678", None, "+4915112345678"),
        ("0049 (0)151 12345678", None, "+4915112345678"),
        ("+49 0151 12345678", None, "+4915112345678"),
        ("(+49) 151 12345678", None, "+4915112345678"),
        ("06 20 123 4567", "HU", "+36201234567"),
        ("8 912 345 67 89", "RU", "+79123456789"),
        ("011 49 151 12345678", "US", "+4915112345678"),
        ("(475) 212-3456", "US", "+14752123456"),
        ("4930123456", "DE", "+4930123456"),
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
        ("+999123456789", "not a valid number"),
        ("nobody", "not a phone number"),
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
        ("491701234567.0", "decimal"),
        ("491.70123E9", "letters"),
        ("4.91701E+11", "scientific"),
        ("4,91701e11", "scientific"),
        ("0170 123 Papa", "letters"),
        ("1-800-FLOWERS", "letters"),
        ("+49 170 123 PAPA", "letters"),
        ("Haus 3, 0170 1234567", "letters"),
        ("+49 170 1234567 (Mutter)", "letters"),
        ("0170 1234567 oder 0171 1234567", "letters"),
        ("0170 1234567, 0171 1234567", "more than one"),
        ("0170/1234567 0171/1234567", "more than one"),
        ("030 123456/57", "more than one"),
        ("0170 1234567-9", "range"),
        ("+49 170 1234567-9", "range"),
        ("+49 170 1234567.9", "range"),
        ("0170 1234567 - 89", "range"),
        ("030 123456-78", "range"),
        ("0170 1234567(9)", "extension"),
        ("0170 1234567 und 68", "range"),
        ("030 1234 030 5678", "two numbers"),
        ("+49 30 1234 030 5678", "two numbers"),
        ("0170 1234567 x5", "extension"),
        ("0170 1234567 Durchwahl 5", "extension"),
        ("02.03.1990", "a date"),
        ("1990-03-02", "a date"),
        ("02.03.1990 12:00", "a date"),
        ("49+1701234567", "more than one"),
        ("0170-1234567-", "begins or ends"),
        ("0170 * 1234567", r"a '\*', which"),
    ],
)
def test_what_may_be_a_strangers_number_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NumberError, match=reason):
        normalise(text, "DE")


def test_region_must_exist() -> None:
    assert check_region("de") == "DE"
    with pytest.raises(InputError, match="'XX'"):
        check_region("XX")
