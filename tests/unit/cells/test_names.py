"""Names: whatever looks alike is read as the same name, or is told to look alike."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.cells.dates import is_date
from broadcast.cells.names import (
    LATIN_TWINS,
    look_alikes,
    look_of,
    mixed_alphabets,
    read_name,
    shape_of,
    show_name,
)

HIDDEN = st.text(st.sampled_from("\u200b\u200c\u200d\u200e\u2060\ufeff\u00ad\u034f"), max_size=3)
BLANK = st.text(st.sampled_from(" \t\n\u00a0\u2003\u3000"), min_size=1, max_size=3)


@given(HIDDEN, BLANK, HIDDEN, BLANK)
def test_what_shows_alike_in_latin_letters_is_one_name(first: str, second: str, third: str, fourth: str) -> None:
    assert read_name(f"{first}{second}Flo{third}od{fourth}{first}plain{second}{third}") == "Flood plain"


@given(st.text(max_size=30))
def test_a_name_that_was_read_is_read_as_itself(text: str) -> None:
    name = read_name(text)
    assert name == name.strip()
    assert not {each for each in name if each.isspace()} - {" "}
    assert look_of(name) == look_of(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_that_are_read_as_one_look_alike(first: str, second: str) -> None:
    if read_name(first) == read_name(second):
        assert look_of(first) == look_of(second)


def test_names_that_look_alike_are_found() -> None:
    names = ["flood plain", "Flood  plain", "flood\u00a0plain", "FLOODPLAIN", "hill", "Hill", "harbour"]
    assert look_alikes(names) == [("FLOODPLAIN", "Flood  plain", "flood plain", "flood\u00a0plain"), ("Hill", "hill")]


def test_a_name_is_shown_with_what_cannot_be_seen_in_it() -> None:
    assert show_name("flood\u200b\u00a0pl\u00e4in") == r"'flood\u200b\xa0pläin'"


def test_persian_names_keep_the_joiner_that_shows() -> None:
    assert read_name("\u0633\u06cc\u0644\u200c\u0628\u0646\u062f") == "\u0633\u06cc\u0644\u200c\u0628\u0646\u062f"


def test_dates_of_the_calendar() -> None:
    dates = "2024-12-05", "5.12.2024", "12/31/24", "31/12/1999", "1990-03-02 12:00"
    others = "2024-13-05", "32.12.2024", "0151.1234.5678", "1.2.3456.7", "0203-1990", "13.13.2024", "1-2"
    assert [text for text in (*dates, *others) if is_date(text)] == list(dates)


TWINS = sorted((chr(latin), chr(other)) for other, latin in LATIN_TWINS.items())
CYRILLIC_O, GREEK_O = "\u043e", "\u03bf"


@given(st.lists(st.sampled_from(TWINS), min_size=1, max_size=12), st.data())
def test_a_name_looks_like_itself_in_letters_of_other_alphabets(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    name = "".join(latin for latin, _ in pairs)
    other = "".join(data.draw(st.sampled_from(pair)) for pair in pairs)
    assert shape_of(other) == shape_of(name) == shape_of(other.upper())
    assert look_alikes([name, other]) == ([] if name == other else [tuple(sorted((name, other)))])


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_that_look_alike_in_one_alphabet_do_in_any(first: str, second: str) -> None:
    if look_of(first) == look_of(second):
        assert shape_of(first) == shape_of(second)


@given(st.sampled_from(("a", "\u00e9", "\u0436", "\u03c9")), st.sampled_from(("b", "\u044f", "\u03c8")), st.booleans())
def test_alphabets_are_mixed_within_a_word_only(first: str, second: str, apart: bool) -> None:
    name = f"{first}{' ' if apart else ''}{second}"
    alphabets = {
        {"\u0436": "Cyrillic", "\u044f": "Cyrillic", "\u03c9": "Greek", "\u03c8": "Greek"}.get(each, "Latin")
        for each in (first, second)
    }
    assert set(mixed_alphabets(name)) == (alphabets if len(alphabets) > 1 and not apart else set())


def test_a_name_in_two_alphabets_is_shown_with_the_other_letters() -> None:
    assert show_name(f"g{CYRILLIC_O}ods") == r"'g\u043eods'"
    assert look_alikes(["goods", f"g{CYRILLIC_O}ods", f"g{GREEK_O}ods", "gods"]) == [
        ("goods", "g\u03bfods", "g\u043eods")
    ]
    assert show_name("\u0420\u0435\u043a\u0430") == "'\u0420\u0435\u043a\u0430'"


def test_names_of_one_alphabet_or_with_signs_mix_nothing() -> None:
    plain = ["Stra\u00dfe 5", "\u0420\u0435\u043a\u0430-North", "\u6cb3B\u533a", "Zone_\u0416", "a\u0301b", "10\u00b5"]
    assert [name for name in plain if mixed_alphabets(name)] == []
