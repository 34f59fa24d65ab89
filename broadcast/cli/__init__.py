"""The command `broadcast`: one file per noun, loaded only when called, so that every command starts fast."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from broadcast.cli.terminal.output import drop_stdout
from broadcast.errors import BroadcastError

BROKEN_PIPE_EXIT_CODE = 141
"""What a shell reports of a command that SIGPIPE ended."""

UNWRITABLE = frozenset({ENOSPC, EDQUOT, EFBIG, EIO})
"""Errors of a write that say that there is no place for the output."""

COMMANDS: dict[str, str] = {
    "alarms": "what the system found wrong: list, clear",
    "alert": "publish, list, show, watch and cancel alerts",
    "audit": "who was reached, when, by which route; and proof of it",
    "database": "bring the database to the newest schema",
    "deadletters": "records that could not be read: list, show, replay, dismiss",
    "demo": "an alert to 10,000 simulated phones, from nothing, with proof",
    "groups": "list and show groups",
    "keys": "create, list and revoke API keys",
    "recipients": "import recipients from CSV",
    "routes": "check a routes file",
    "run": "run one stage as a process",
    "smsc": "run the SMSC simulator",
    "test-send": "send one test message to a number",
    "topics": "create and check the topics on Kafka",
    "up": "run the whole system on this machine, and stay",
}

MODULES = {"smsc": "broadcast.smsc.command", "test-send": "broadcast.cli.trial_message"}
"""The modules of those commands that are not `broadcast.cli.<command>`: a file `test_*` would look like a test."""


class LazyGroup(click.Group):
    """A group whose commands live in `broadcast.cli.<command>`, as the attribute `command`."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _ending_where_nobody_reads():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _ending_where_nobody_reads():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(MODULES.get(cmd_name, f"broadcast.cli.{cmd_name}"))
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101 (a wiring fault of ours, found by every test)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, name="broadcast", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tocsin", prog_name="broadcast")
def root() -> None:
    """Tocsin: publish an alert, reach every recipient, prove it."""
    from broadcast.logs import configure_command

    configure_command()


def main() -> None:
    """Entry of the console script: an error of ours is one message on stderr and exit code 1."""
    _prepare_streams()
    try:
        with _ending_where_nobody_reads():
            root()
    except BroadcastError as error:
        _tell(str(error))
        for path, rule, message in getattr(error, "findings", ()):
            if message in str(error):
                continue  # it is said already
            _tell(f"{path}: {message} [{rule}]", before="  ")
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        drop_stdout()
        _tell(f"the output cannot be written ({error.strerror}); make room, or write it to another place")
        sys.exit(1)


@contextmanager
def _ending_where_nobody_reads() -> Iterator[None]:
    # click ends with 1 where it sees the error itself.
    try:
        yield
    except BrokenPipeError:
        drop_stdout()
        sys.exit(BROKEN_PIPE_EXIT_CODE)


def _prepare_streams() -> None:
    """Occupy closed standard streams, and write as escapes what a terminal's encoding does not have."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Or the next file or socket that is opened takes its place, and gets what is written to it.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 (until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _tell(text: str, *, before: str = "broadcast: ") -> None:
    with suppress(OSError):
        click.echo(f"{before}{text}", err=True)
