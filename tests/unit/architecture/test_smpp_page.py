"""The page about SMPP: each line names tests that exist, or says why there is none."""

import re

from tests.support.sources import ROOT

PAGE = ROOT / "docs" / "smpp.md"
REASONS = ("Not sent: ", "Not yet: ", "Not for ")


def lines_of_tables() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    return [row for row in rows if not row.startswith(("| what | test", "| report | what"))]


def test_each_line_has_a_test_or_a_reason() -> None:
    rows = lines_of_tables()
    assert len(rows) > 90
    last_cells = [row.rstrip(" |").rsplit(" | ", 1)[-1] for row in rows]
    assert not [cell for cell in last_cells if not cell.startswith(("`test_", *REASONS))]


def test_each_named_test_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    assert not named - there
