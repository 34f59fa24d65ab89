"""A command's stdout holds its answer and nothing else, whatever its parts log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "check", "--json", "--timeout", "1"),
        ("deadletters", "list", "--json"),
        ("deadletters", "replay", "1"),
    ],
)
def test_a_broker_that_is_away_is_reported_on_stderr_alone(arguments: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BROADCAST_")} | {
        "BROADCAST_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "BROADCAST_ROUTES_FILE": str(EXAMPLES / "routes.toml"),
        "SMSC_PASSWORD": "x",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "broadcast", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "127.0.0.1:1" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
