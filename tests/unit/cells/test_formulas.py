"""Formulas of spreadsheets are no names and no numbers; text in a formula is read as the text."""

import pytest

from broadcast.audience.rows import Reading, convert
from broadcast.cells.digits import NumberError
from broadcast.cells.formulas import find_formula, read_text_formula
from broadcast.cells.headers import read_header
from broadcast.cells.numbers import normalise

COLUMNS = read_header(["id", "phone", "groups"])


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "=A1", "=1+2", "+SUM(A1:A2)", "-ABS(3)", "@SUM(A1)", "="])
def test_formulas_are_found(text: str) -> None:
    assert "formula" in str(find_formula(text))


@pytest.mark.parametrize("text", ["#REF!", "#N/A", "#NAME?", "#DIV/0!", "Err:502"])
def test_errors_of_formulas_are_found(text: str) -> None:
    assert "error of a spreadsheet" in str(find_formula(text))


@pytest.mark.parametrize("text", ["Nord", "-Nord", "+Nord", "@home", "#1", "a=b", "Nord (West)", "+ Nord (West)"])
def test_names_are_no_formulas(text: str) -> None:
    assert find_formula(text) is None


def test_text_in_a_formula_is_read_as_the_text() -> None:
    assert read_text_formula('="0042"') == "0042"
    assert read_text_formula('="a"&"b"') == '="a"&"b"'
    done = convert([(2, ['="0042"', '="+4915112345678"', '="north"'])], Reading(COLUMNS, None))
    assert done.lines.decode() == "2\t0042\t+4915112345678\t\\N\t\\N\t\\N\t\\N\tnorth\n"


@pytest.mark.parametrize("cell", ['=HYPERLINK("http://x")', '=HYPERLINK("http://x";"north")', "north;#REF!", '="="'])
def test_a_formula_makes_no_group(cell: str) -> None:
    done = convert([(2, ["p1", "+4915112345678", cell])], Reading(COLUMNS, None))
    (finding,) = done.findings
    assert done.lines.decode().endswith("\t\\N\n")
    assert (finding.field, finding.loaded) == ("groups", True)
    assert "of a spreadsheet" in finding.reason
    assert finding.reason.endswith("no group joined")


def test_a_formula_is_no_id() -> None:
    done = convert([(2, ["=A2", "+4915112345678", ""])], Reading(COLUMNS, None))
    assert [(each.field, each.loaded) for each in done.findings] == [("external_id", False)]
    assert "formula" in done.findings[0].reason


@pytest.mark.parametrize("cell", ["=1+2", "=A1", '=HYPERLINK("tel:+4915112345678")', "=0151-1234567", "=A1:A2"])
def test_a_formula_is_no_number_and_the_reason_says_so(cell: str) -> None:
    with pytest.raises(NumberError, match="formula"):
        normalise(cell, "DE")


def test_a_number_after_a_sign_of_equality_is_a_number() -> None:
    assert {normalise(cell, "DE") for cell in ('="+4915112345678"', "=+4915112345678", '="0151 12345678"')} == {
        "+4915112345678"
    }
