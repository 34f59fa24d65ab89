"""`broadcast audit verify` and `rebuild`: whether the evidence holds, and the attempts follow from it."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from uuid import UUID

import asyncpg
import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from broadcast.audit import Verification, rebuild_check, verify
from broadcast.audit.evidence.verification import note_verification
from broadcast.cli.audit.audit_connection import with_audit
from broadcast.cli.terminal.display import Console
from broadcast.settings import Settings
from broadcast.text.counts import counted
from broadcast.text.printable import printable


@click.command(name="verify")
@click.argument("alert", type=click.UUID, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def verify_command(alert: UUID | None, as_json: bool) -> None:
    """Compute every evidence chain anew, and the chunk chain of ALERT or of all.

    Exit code 1 if one does not hold, or if records were lost before they were recorded.
    """

    async def work(connection: asyncpg.Connection, _: Settings) -> Verification:
        found = await verify(connection, alert, progress)
        await note_verification(connection, found)
        return found

    with _bar("verify") as (_, progress):
        found = with_audit(work)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"sound": found.sound, "unchanged": found.unchanged}))
    else:
        click.echo(
            f"{counted(found.segments, 'segment')} with {counted(found.records, 'record')}, "
            f"{counted(found.chunks, 'chunk')}"
        )
        for name, head in found.heads.items():
            click.echo(f"  {name}  epoch {found.epochs[name]}  head {head}")
        for fault in found.faults:
            click.echo(f"FAULT {printable(str(fault))}")
        for line in found.beginnings:
            click.echo(f"NOTE {printable(line)}")
        for line in found.losses:
            click.echo(f"LOSS {printable(line)}")
        if found.unchanged and found.losses:
            click.echo("NOT complete: what was recorded is unchanged, and some was never recorded")
        else:
            click.echo("sound" if found.sound else "NOT sound")
    sys.exit(0 if found.sound else 1)


@click.command()
@click.option("--check", is_flag=True, required=True, help="Compare only; nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def rebuild(check: bool, as_json: bool) -> None:
    """Derive all attempts from the evidence anew and compare. Exit code 1 if the table is not what evidence gives."""
    assert check  # noqa: S101 (the option is required)
    with _bar("rebuild") as (_, progress):
        found = with_audit(lambda connection, _: rebuild_check(connection, progress))
    if as_json:
        click.echo(json.dumps(asdict(found) | {"sound": found.sound}))
    else:
        segments = counted(found.segments, "segment", "gives", "give")
        click.echo(f"{segments} {counted(found.attempts, 'attempt')} and {counted(found.receipts, 'receipt')}")
        if found.parked:
            click.echo(f"{counted(found.parked, 'receipt', 'is', 'are')} parked: no attempt has the message id")
        if found.unreadable:
            click.echo(f"deliveries that could not be read: {found.unreadable:,} (`broadcast audit unreadable`)")
        if found.refused:
            click.echo(
                f"{counted(found.refused, 'record', 'was', 'were')} refused by PostgreSQL, and no attempt holds "
                "what they say: they are dead letters (`broadcast deadletters list`)"
            )
        for fault in found.faults:
            click.echo(f"FAULT {printable(str(fault))}")
        click.echo("equal" if found.sound else "NOT equal")
    sys.exit(0 if found.sound else 1)


class _bar:  # noqa: N801 (used as a function)
    """A progress bar on stderr, and what tells it how far the work is."""

    def __init__(self, name: str) -> None:
        self._bars = Progress(
            TextColumn(name), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
        )
        self._task = self._bars.add_task(name, total=None)

    def __enter__(self) -> tuple[Progress, Callable[[int, int], None]]:
        self._bars.start()
        return self._bars, lambda done, total: self._bars.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
