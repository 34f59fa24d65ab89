"""Characters that nobody can see: an SMS loses them where it then shows the same, and keeps the others."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.text import Encoding, encoding_of, plain, segment_count, split
from broadcast.text.invisible import is_invisible, remove_all_invisible, remove_invisible

HARBOUR = (
    "Leave the low streets of the old harbour now. Walk to the school on the hill. Take warm clothes, medicine and "
    "papers. Do not use cars or lifts. "
) * 3


@pytest.mark.parametrize(
    "hidden",
    [
        HARBOUR.replace("school", "school\u200c", 1),
        "\u200e" + HARBOUR,
        HARBOUR.replace("school", "\u2068school\u2069", 1),
        HARBOUR.replace("school", "\u202aschool\u202c", 1),
        HARBOUR.replace("hill.", "hill.\u200f", 1),
        HARBOUR.replace("school", "sch\u00adool", 1),
        HARBOUR.replace("school", "school\u200d\u2060\ufeff\u034f\u2063", 1),
        HARBOUR.replace("school", "school\ufe0f\U000e0041\x7f\x9f", 1),
    ],
)
def test_a_text_that_shows_alike_takes_no_more_segments(hidden: str) -> None:
    assert plain(hidden) == HARBOUR
    assert encoding_of(plain(hidden)) is Encoding.GSM7
    assert segment_count(plain(hidden)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, "I want"
        "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937",  # Hindi, half a letter and a virama that shows
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala, "Sri"
        "\U0001f469\u200d\U0001f692 \u2764\ufe0f\u200d\U0001f525",  # a firefighter, a burning heart
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
        "5\ufe0f\u20e3",  # a digit on a key
        "\u05d4\u05e6\u05e4\u05d4 C\u200e++ 5",  # Hebrew with a mark that places the plus signs
        "\u202b\u0625\u062e\u0644\u0627\u0621\u202c 5 km",  # Arabic in a stretch of its own
        "\u0e01\u0e32\u0e23\u200b\u0e40\u0e15\u0e37\u0e2d\u0e19",  # Thai, where a line may end
        "\u200f5 km",  # a mark that moves the digit
        "see \u202eabc\u202c",  # shown as "cba"
        "\u0600\u0661",  # a number sign, which has a shape
    ],
)
def test_what_changes_how_a_text_shows_stays(text: str) -> None:
    assert remove_invisible(text) == text


def test_many_of_them_take_no_longer() -> None:
    """In time that grows with the square this would take minutes."""
    for hidden in ("\u200d", "\u200f", "\ufe0f", "\u202e"):
        assert len(remove_invisible(f"a{hidden * 200_000}b")) in {2, 200_002}


def test_joiners_between_other_letters_go() -> None:
    assert remove_invisible("a\u200cb \u0430\u200d\u0431 \u5b57\u200c\u5b57") == "ab \u0430\u0431 \u5b57\u5b57"


@given(st.text())
def test_only_what_cannot_be_seen_is_removed(text: str) -> None:
    left = remove_invisible(text)
    assert remove_all_invisible(left) == remove_all_invisible(text)
    assert remove_invisible(left) == left or any(map(is_invisible, left))


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Zs", "Po"], max_codepoint=0x52F)))
def test_a_text_of_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert remove_invisible(text) == text


@given(
    st.text(
        st.sampled_from("Flood5. \u200b\u200c\u200d\u200e\u2060\u2061\ufeff\u00ad\u2068\u2069\u202a\u202c\ufe0f"),
        max_size=40,
    )
)
def test_a_latin_text_loses_all_of_it(text: str) -> None:
    assert remove_invisible(text) == remove_all_invisible(text)


def test_every_control_and_format_is_classed() -> None:
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in {"Cc", "Cf"}]
    shown = [each for each in known if not is_invisible(each)]
    assert len(known) > 200
    assert all(unicodedata.category(each) == "Cf" or each.isspace() for each in shown)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("|" * 24 + "{" + "|" * 29 + "\u221e" + "|" * 10 + "^" + "||||", 140),
        ("note " + "]" * 62 + "\U0001f618", 138),
    ],
)
def test_a_character_of_the_extension_table_costs_one_unit_in_ucs2(text: str, octets: int) -> None:
    (segment,) = split(plain(text), reference=1)
    assert segment.encoding is Encoding.UCS2
    assert len(segment.short_message) == octets
    assert segment_count(text) == 1
