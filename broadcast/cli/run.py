"""`broadcast run`: one stage as a process."""

import os
import sys

import click

from broadcast.settings import load_settings

STAGES = ("api", "planner", "expander", "sender", "recorder")
API = "broadcast.api:create_app"


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
def command(stage: str) -> None:
    """Run one stage as a process, with its settings from BROADCAST_*; SIGTERM stops it.

    Its health and metrics are on BROADCAST_METRICS_HOST and _PORT, those of the API on the API's own port.
    """
    # The stage takes this process's place, so that a supervisor's signals reach it and its exit code is its own.
    arguments = _arguments_of_api() if stage == "api" else ["-m", "streams", stage]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


def _arguments_of_api() -> list[str]:
    settings = load_settings()
    return [
        *("-m", "uvicorn", "--factory", API),
        *("--host", settings.api_host, "--port", str(settings.api_port)),
        *("--log-level", settings.log_level.lower(), "--no-access-log"),
    ]
