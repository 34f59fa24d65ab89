"""`broadcast recipients find` and `erase`: what stops them before the directory is asked has a code of its own."""

import json

import pytest
from click.testing import CliRunner

from broadcast.cli.recipients import command


@pytest.mark.parametrize(
    ("number", "code", "fault", "text"),
    [
        ("0151 12345678", 5, "no_region", "--region DE"),
        ("+49 112", 4, "unreadable", "not a valid number"),
        ("+49151abc", 4, "unreadable", "letters"),
    ],
)
def test_why_a_number_is_not_looked_for(
    number: str, code: int, fault: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROADCAST_DEFAULT_REGION", raising=False)
    result = CliRunner().invoke(command, ["find", number, "--json"])
    assert result.exit_code == code
    assert json.loads(result.stdout)["fault"] == fault
    assert text in result.stderr
    assert "12345678" not in result.output


def test_erasing_without_a_terminal_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_NUMBER_HASH_KEY", "k" * 32)
    result = CliRunner().invoke(command, ["erase", "17"])
    assert "--yes" in str(result.exception)
