"""Rows of a CSV: what becomes a line for COPY, what a finding, and who is left out."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broadcast.audience.rows import PLAIN_ID, PLAIN_PLACE, Finding, Reading, convert, mask
from broadcast.cells.coordinates import read_degrees
from broadcast.cells.digits import SCIENTIFIC
from broadcast.cells.formulas import find_formula, read_text_formula
from broadcast.cells.headers import Columns, read_header
from broadcast.cells.names import read_name
from broadcast.errors import InputError

HEADER = ["ID", "Phone Number", "Lang", "Groups", "lat", "LON", "participant"]
COLUMNS = read_header(HEADER)
GOOD = ["p1", "+4915112345678", "de_AT", "a;b| a ", "52.5", "13.4", "Yes"]


def one(*cells: str, columns: Columns = COLUMNS) -> tuple[str, list[Finding]]:
    done = convert([(7, list(cells))], Reading(columns, "DE"))
    assert done.rows == 1
    assert done.good == done.lines.count(b"\n")
    return done.lines.decode(), done.findings


def test_a_good_row() -> None:
    assert one(*GOOD) == ("7\tp1\t+4915112345678\tde-at\t52.5\t13.4\tt\ta|b\n", [])


@given(st.one_of(st.from_regex(PLAIN_ID, fullmatch=True), st.text(string.printable, max_size=20)))
@example("1E11")
@example("e5")
@example("Err:502")
def test_a_plain_id_is_one_that_stays_as_it_is(text: str) -> None:
    if PLAIN_ID.fullmatch(text):
        assert read_name(read_text_formula(text)) == text
        assert not SCIENTIFIC.fullmatch(text)
        assert find_formula(text) is None
        assert "\\" not in text


@given(
    st.one_of(
        st.from_regex(PLAIN_PLACE, fullmatch=True),
        st.from_regex(re.compile(r"-?[0-9]{1,3}\.[0-9]{1,3}\t-?[0-9]{1,3}\.[0-9]{1,3}"), fullmatch=True),
    )
)
@example("89.9999999999999999\t-179.9999999999999999")
@example("90.1\t10.0")
@example("10.0\t180.1")
def test_a_plain_place_is_one_that_is_on_earth(both: str) -> None:
    latitude, longitude = both.split("\t")
    if PLAIN_PLACE.fullmatch(both):
        assert (read_degrees(latitude, 90), read_degrees(longitude, 180)) == (float(latitude), float(longitude))
    line, findings = one("p1", "+4915112345678", "", "", latitude, longitude)
    assert (findings == []) == (read_degrees(latitude, 90) is not None and read_degrees(longitude, 180) is not None)
    assert ("\\N\t\\N\t\\N\t\n" in line) == bool(findings)


def test_groups_are_the_same_however_their_letters_are_composed() -> None:
    composed, _ = one("p1", "+4915112345678", "", "Z\u00fcrich")
    decomposed, _ = one("p1", "+4915112345678", "", "Zu\u0308rich")
    assert composed == decomposed


def test_names_and_ids_that_look_alike_are_the_same() -> None:
    plain, _ = one("p 1", "+4915112345678", "", "flood plain")
    for space in ("\u00a0", "  ", " \u200b", "\u2009", "\n", "\t", " \ufeff"):
        assert one(f"p{space}1", "+4915112345678", "", f"\ufeff flood{space}plain ;") == (plain, [])


def test_groups_that_cannot_be_read_are_null_and_no_groups_are_none() -> None:
    assert one("p1", "+4915112345678", "", "north;05.12.2024")[0].endswith("\t\\N\n")
    assert one("p1", "+4915112345678", "", ";")[0].endswith("\t\n")


def test_empty_and_missing_cells_say_nothing() -> None:
    assert one(" ", " +4915112345678 ") == ("7\t\\N\t+4915112345678\t\\N\t\\N\t\\N\t\\N\t\n", [])


def test_backslashes_survive_copy() -> None:
    line, findings = one("p\\1", "+4915112345678", "", "x\\N")
    assert line == "7\tp\\\\1\t+4915112345678\t\\N\t\\N\t\\N\t\\N\tx\\\\N\n"
    assert not findings


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (2, "deutsch!", "language"),
        (3, "a" * 201, "groups"),
        (4, "91", "latitude, longitude"),
        (4, "", "latitude, longitude"),
        (5, "nan", "latitude, longitude"),
        (6, "perhaps", "participant"),
    ],
)
def test_a_detail_that_is_wrong_leaves_nobody_out(place: int, value: str, field: str) -> None:
    row = [*GOOD]
    row[place] = value
    line, findings = one(*row)
    assert line.startswith("7\tp1\t+4915112345678\t")
    assert [(finding.line, finding.field, finding.loaded) for finding in findings] == [(7, field, True)]


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (["p1", ""], "msisdn", "is empty"),
        (["p1", "112"], "msisdn", "not a valid number"),
        (["p1", "hello"], "msisdn", "not a phone number"),
        (["4.917E+11", "+4915112345678"], "external_id", "scientific"),
        (["x" * 201, "+4915112345678"], "external_id", "more than 200"),
        ([*GOOD, "extra"], "row", "8 cells, the header 7"),
    ],
)
def test_a_row_that_cannot_be_loaded(row: list[str], field: str, reason: str) -> None:
    line, findings = one(*row)
    assert not line
    (finding,) = findings
    assert (finding.line, finding.field, finding.loaded) == (7, field, False)
    assert reason in finding.reason


def test_empty_cells_beyond_the_header_are_nothing() -> None:
    assert one(*GOOD, "", " ")[1] == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [("+4915112345678", "+•••••••••••78"), ("0151/1234 5678x", "0151/•••••••78x"), ("12345", "12345")],
)
def test_numbers_are_masked(value: str, shown: str) -> None:
    assert mask(value) == shown


def test_header_names_are_found_whatever_their_form() -> None:
    columns = read_header(["Vorname", "external-id", "TELEPHONE", "Group"])
    assert (columns.external_id, columns.msisdn, columns.groups, columns.language) == (1, 2, 3, None)
    assert columns.unknown == ("Vorname",)


@pytest.mark.parametrize(
    ("header", "reason"), [(["id", "name"], "names no phone number"), (["phone", "Mobile"], "both name msisdn")]
)
def test_headers_that_are_refused(header: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_header(header)


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        ("05.12.2024", "05.12.2024", "hold a name that is a date"),
        ("north;2024-12-05; 0151 12345678", "north|2024-12-05|", "hold a name that is a date"),
        ("x" * 201, "x" * 60, "hold a name that has more than 200 characters"),
    ],
)
def test_groups_that_are_refused_are_shown_with_the_one_reason(cell: str, value: str, reason: str) -> None:
    _, (finding,) = one("p1", "+4915112345678", "", cell)
    assert finding.value.startswith(value)
    assert "12345678" not in finding.value.replace(" ", "")
    assert finding.reason.startswith(reason)
    assert " or " not in finding.reason
