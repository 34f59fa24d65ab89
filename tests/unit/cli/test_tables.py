"""Tables that are piped somewhere hold whole ids and reasons, on one line each."""

import pytest
from rich.table import Table

from broadcast.cli.terminal.display import print_table


def test_nothing_is_cut_or_folded_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("alert", "reason", "recipients", box=None)
    row = ("1135c17b-1840-567c-9a9c-f61c165ff3a6", "addresses: no group is known; " * 4, "2,000")
    table.add_row(*row)
    print_table(table)
    line = capsys.readouterr().out.splitlines()[1]
    assert all(cell.strip() in line for cell in row)
