"""What others wrote, on a terminal and in a spreadsheet."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.text.printable import csv_cell, printable, printable_lines


@given(st.text())
def test_nothing_moves_the_cursor_changes_colours_or_begins_a_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
    assert printable(shown) == shown


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("Überflutung, Straße 5: 100 %") == "Überflutung, Straße 5: 100 %"
    assert printable("\x1b[2J\x9b31m\n\u202ex") == r"\x1b[2J\x9b31m\n\u202ex"


@given(st.text())
def test_a_text_of_several_lines_keeps_them_and_nothing_else(text: str) -> None:
    lines = printable_lines(text).split("\n")
    assert len(lines) == text.count("\n") + 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    cell = str(csv_cell(text))
    assert cell[:1] not in {"\t", "\r", "\n"}
    assert cell[:1] not in {"=", "+", "-", "@"} or cell[1:].isdigit()


@pytest.mark.parametrize("value", [5, None, True, "+447700900100", "-12", "DELIVRD", "000"])
def test_numbers_stay_as_they_are(value: object) -> None:
    assert csv_cell(value) is value


def test_every_file_that_writes_csv_goes_by_it() -> None:
    package = Path(__file__).parents[3] / "broadcast"
    texts = {path.name: path.read_text() for path in package.rglob("*.py")}
    writing = {name: text for name, text in texts.items() if "csv.writer(" in text or "csv.DictWriter(" in text}
    assert set(writing) == {"export.py", "report.py"}
    assert all("csv_cell" in text for text in writing.values())
