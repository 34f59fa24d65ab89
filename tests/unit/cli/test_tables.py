"""Tables that are piped somewhere hold whole ids and reasons, on one line each."""

import ast
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broadcast.audit import Event
from broadcast.cli.audit.outcomes import _show_history
from broadcast.cli.terminal.display import Display, Table, print_table, write_time
from broadcast.embedded.steps import Progress
from tests.support.sources import parse

CLI = Path(__file__).parents[3] / "broadcast/cli"
HOSTILE = "[bold]x[/nope] \x1b]0;owned\x07\x1b[2J\nfake row \x9b31m"
AS_SHOWN = r"[bold]x[/nope] \x1b]0;owned\x07\x1b[2J\nfake row \x9b31m"


def test_nothing_is_cut_or_folded_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("alert", "reason", "recipients", box=None)
    row = ("1135c17b-1840-567c-9a9c-f61c165ff3a6", "addresses: no group is known; " * 4, "2,000")
    table.add_row(*row)
    print_table(table)
    line = capsys.readouterr().out.splitlines()[1]
    assert all(cell.strip() in line for cell in row)


def test_what_an_smsc_writes_is_no_markup_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(datetime(2026, 1, 1, tzinfo=UTC), "receipt", {"error": HOSTILE, "message_id": HOSTILE}, {})
    _show_history([event])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].count(AS_SHOWN) == 2


def test_news_of_a_step_are_no_markup_and_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.report(Progress("restart", "ended", message=HOSTILE))
        display.report(Progress("step", "failed", message=HOSTILE))
    assert "".join(capsys.readouterr().err.split()).count("".join(AS_SHOWN.split())) == 2


def printed(tree: ast.AST) -> Iterator[Sequence[ast.expr]]:
    """What stands in braces in the first argument of each `console.print`, without what is a number by its form."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "print"
            and node.args
            and isinstance(node.args[0], ast.JoinedStr)
        ):
            fields = [each for each in node.args[0].values if isinstance(each, ast.FormattedValue)]
            yield [each.value for each in fields if each.format_spec is None]


def test_every_table_and_line_with_markup_shows_what_others_wrote_as_it_is() -> None:
    for path in CLI.rglob("*.py"):
        tree = parse(path)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
        if path.name != "display.py":
            assert not names & {"rich.table.Table", "rich.markup.escape"}, f"{path.name}: use those of display.py"
        for values in printed(tree):
            for value in values:
                named = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "shown"
                constant = isinstance(value, ast.Subscript | ast.Name) and "mark" in ast.unparse(value)
                assert named or constant, f"{path.name}:{value.lineno}: write {{shown({ast.unparse(value)})}}"


def test_times_are_in_utc_with_their_zone() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    assert write_time(at) == "2026-01-02 03:04:05 UTC"
    assert write_time("2026-01-02T04:04:05.678+01:00", "milliseconds") == "2026-01-02 03:04:05.678 UTC"
