"""`broadcast run`: one stage as a process."""

import os
import sys

import click

from broadcast.stages import STAGES, arguments_of


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
def command(stage: str) -> None:
    """Run one stage as a process, with its settings from BROADCAST_*; SIGTERM stops it.

    Its health and metrics are on BROADCAST_METRICS_HOST and _PORT, those of the API on the API's own port.
    """
    # The stage takes this process's place, so that a supervisor's signals reach it and its exit code is its own.
    os.execv(sys.executable, [sys.executable, *arguments_of(stage)])  # noqa: S606
