"""Deliveries as a table and as CSV: what an SMSC wrote neither moves a cursor nor is a formula."""

import csv
from io import StringIO
from typing import Any

import pytest

from broadcast.audit.deliveries.export import COLUMNS, _writer

FORMULA = '=HYPERLINK("http://x";"y")'


def written(form: str, error: str) -> str:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"recipient_id": 7, "state": "undelivered", "error": error}
    out = StringIO()
    _writer(form, COLUMNS, out)(row)
    return out.getvalue()


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_control_character_of_an_error_is_written_as_an_escape(form: str) -> None:
    text = written(form, "a\x1b[2Jb\nc\rd\x9be")
    assert r"a\x1b[2Jb\nc\rd\x9be" in text
    assert text.count("\n") == 2, "the names, and one row"


def test_an_error_that_is_a_formula_is_none_in_csv() -> None:
    [_, row] = csv.reader(StringIO(written("csv", FORMULA)))
    assert row[COLUMNS.index("error")] == f"'{FORMULA}"
