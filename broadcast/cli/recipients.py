"""`broadcast recipients`: import recipients from CSV; show, suppress and erase one."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import asyncpg
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broadcast.audience.importing import ImportResult, import_recipients
from broadcast.audience.people import erase_recipient, show_recipient, suppress_recipient
from broadcast.audience.rows import mask
from broadcast.cells.headers import HEADERS
from broadcast.cells.numbers import Form
from broadcast.cli.groups import with_directory
from broadcast.cli.terminal.display import Table, print_table
from broadcast.cli.terminal.ids import ID
from broadcast.settings import load_settings

COLUMNS = "; ".join(f"{field}: {', '.join(names)}" for field, names in HEADERS.items())


@click.group(name="recipients")
def command() -> None:
    """Import recipients from CSV; show, suppress and erase one."""


@command.command(
    name="import",
    epilog=f"Columns, in any order and case, by any of their names. {COLUMNS}. Groups are separated by ; or |.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--region", help="ISO 3166 region of numbers without a country code (BROADCAST_DEFAULT_REGION).")
@click.option(
    "--numbers",
    type=click.Choice(list(Form)),
    help="What all numbers without a plus sign are, where digits can be read both ways.",
)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Where findings go [FILE.report.csv].")
@click.option("--strict", is_flag=True, help="Load nothing if there is any finding.")
@click.option(
    "--replace-groups",
    is_flag=True,
    help="Take people to whom the file gives groups out of all others; an empty cell leaves what stands.",
)
@click.option("--encoding", default="utf-8-sig", show_default=True, help="Encoding of the file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def import_command(
    *,
    file: Path,
    region: str | None,
    numbers: str | None,
    report: Path | None,
    strict: bool,
    replace_groups: bool,
    encoding: str,
    as_json: bool,
) -> None:
    """Load recipients from a CSV FILE: good rows are loaded, bad ones reported by line.

    A recipient is known by external id, else by number, so a second import updates; empty cells leave what stands.
    Exit code 1 when nothing could be loaded.
    """
    where = report or file.with_name(f"{file.name}.report.csv")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:18}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("reading", total=None)

        def progress(step: str, done: int, total: int) -> None:
            bar.update(shown, description=step, completed=done, total=total or None)

        async def work(connection: asyncpg.Connection) -> ImportResult:
            return await import_recipients(
                connection,
                file,
                where,
                region=region or load_settings().default_region,
                form=Form(numbers) if numbers else None,
                strict=strict,
                replace_groups=replace_groups,
                encoding=encoding,
                progress=progress,
            )

        result = with_directory(work)
    if as_json:
        click.echo(json.dumps(asdict(result), default=str, ensure_ascii=False))
    else:
        _print(result)
    if result.refused and result.refused == result.rows:
        raise SystemExit(1)


def _print(result: ImportResult) -> None:
    table = Table(show_header=False, box=None)
    for title, count in (
        ("rows", result.rows),
        ("new recipients", result.inserted),
        ("updated", result.updated),
        ("unchanged", result.unchanged),
        ("repeated numbers", result.repeated),
        ("refused", result.refused),
        ("new groups", result.groups_created),
        ("new memberships", result.memberships_added),
        ("ended memberships", result.memberships_removed),
    ):
        table.add_row(title, f"{count:,}")
    print_table(table)
    if result.unknown_columns:
        click.echo(f"ignored columns: {', '.join(result.unknown_columns)}")
    if result.report is not None:
        click.echo(f"{result.findings} findings, by line: {result.report}")
    click.echo(f"{result.rows / max(result.seconds, 0.001):,.0f} rows/s, {result.seconds:.1f} s")


@command.command()
@click.argument("recipient_id", metavar="ID")
@click.option("--external", is_flag=True, help="ID is the external id.")
@click.option("--number", is_flag=True, help="Show the phone number in full.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(recipient_id: str, external: bool, number: bool, as_json: bool) -> None:
    """One recipient, the number masked unless asked for."""
    if external:
        recipient = with_directory(lambda connection: show_recipient(connection, external_id=recipient_id))
    else:
        wanted = _id(recipient_id)
        recipient = with_directory(lambda connection: show_recipient(connection, wanted))
    facts = asdict(recipient)
    if not number:
        facts["msisdn"] = mask(recipient.msisdn)
    if as_json:
        click.echo(json.dumps(facts, default=datetime.isoformat, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None)
    for title, value in facts.items():
        shown = ", ".join(value) if isinstance(value, tuple) else value
        table.add_row(title, "-" if shown is None or shown == "" else str(shown))
    print_table(table)


@command.command()
@click.argument("recipient_id", metavar="ID")
@click.argument("reason")
def suppress(recipient_id: str, reason: str) -> None:
    """Send nothing to recipient ID from the next alert on, for REASON."""
    wanted = _id(recipient_id)
    with_directory(lambda connection: suppress_recipient(connection, wanted, reason))
    click.echo(f"recipient {wanted} is suppressed: {reason}")


@command.command()
@click.argument("recipient_id", metavar="ID")
def allow(recipient_id: str) -> None:
    """Lift the suppression of recipient ID."""
    wanted = _id(recipient_id)
    with_directory(lambda connection: suppress_recipient(connection, wanted, None))
    click.echo(f"recipient {wanted} is no longer suppressed")


@command.command()
@click.argument("recipient_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(recipient_id: str, yes: bool) -> None:
    """Delete recipient ID for good; the audit keeps the id and a keyed hash of the number."""
    wanted = _id(recipient_id)
    if not yes:
        click.confirm(f"Erase recipient {wanted} for good?", abort=True)
    with_directory(lambda connection: erase_recipient(connection, wanted))
    click.echo(f"recipient {wanted} is erased")


def _id(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"{text!r} is not a recipient id: it must be digits (for an external id: --external)")
    found: int = ID.convert(text, None, None)
    return found
