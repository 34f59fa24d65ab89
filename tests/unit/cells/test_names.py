"""Names: whatever looks alike is read as the same name, or is told to look alike."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.cells.dates import is_date
from broadcast.cells.names import look_alikes, look_of, read_name, show_name

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
