"""Wrong arguments end with exit code 2, as the documents say."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from broadcast.cli import root

PEOPLE = str(Path(__file__).parents[3] / "examples/people.csv")
ALERT = "01890000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["recipients", "import", PEOPLE, "--region", "Germany"], "region is 'Germany'"),
        (["recipients", "find", "0151 12345678", "--region", "Germany"], "region is 'Germany'"),
        (["recipients", "readmit", "0151 12345678", "--region", "Germany"], "region is 'Germany'"),
        (["audit", "deliveries", ALERT, "--json", "--format", "csv"], "--json and --format csv"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_wrong_argument_is_named_with_exit_code_2(words: list[str], named: str) -> None:
    ended = CliRunner().invoke(root, words)
    assert ended.exit_code == 2, ended.output
    assert named in ended.output
