"""The command `broadcast`: one file per noun, loaded only when called, so that every command starts fast."""

import os
import sys
from importlib import import_module

import click

from broadcast.errors import BroadcastError

BROKEN_PIPE_EXIT_CODE = 141
"""What a shell reports of a command that SIGPIPE ended."""

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
    try:
        root()
    except BrokenPipeError:
        # Python flushes stdout once more at its end, into the same pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE_EXIT_CODE)
    except BroadcastError as error:
        click.echo(f"broadcast: {error}", err=True)
        for path, rule, message in getattr(error, "findings", ()):
            click.echo(f"  {path}: {message} [{rule}]", err=True)
        sys.exit(1)
