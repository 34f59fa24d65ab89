"""An id that no column holds is an error of the argument, not of the database."""

from importlib import import_module

import click
import pytest
from click.testing import CliRunner

TOO_LARGE = str(2**63)
ALERT = "11111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "deliveries", ALERT, "--cursor", TOO_LARGE],
        ["audit", "history", ALERT, TOO_LARGE],
        ["alarms", "clear", TOO_LARGE],
        ["recipients", "show", TOO_LARGE],
        ["deadletters", "show", TOO_LARGE],
    ],
)
def test_an_id_over_64_bits_is_refused_by_name(words: list[str]) -> None:
    command: click.Command = import_module(f"broadcast.cli.{words[0]}").command
    result = CliRunner().invoke(command, words[1:])
    assert result.exit_code == 2, result.output
    assert TOO_LARGE in result.output
