"""`broadcast recipients`: import recipients from CSV; find, show, suppress and erase one."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import asyncpg
import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broadcast.audience.advice import LINES_FROM, end_lines
from broadcast.audience.exclusions import Exclusion, read_exclusions, remove_exclusions
from broadcast.audience.importing import ImportResult, Options, import_recipients
from broadcast.audience.people import Found, erase_recipient, find_recipients, show_recipient, suppress_recipient
from broadcast.audience.rows import WISHES, mask
from broadcast.cells.digits import NumberError
from broadcast.cells.headers import HEADERS, read_mapping
from broadcast.cells.numbers import Form, MissingRegionError, check_region, readings
from broadcast.cells.spellings import all_spellings
from broadcast.cli.groups import with_directory
from broadcast.cli.terminal.display import Console, Table, print_table
from broadcast.cli.terminal.ids import ID
from broadcast.cli.terminal.output import print_result, require_output
from broadcast.errors import InputError
from broadcast.settings import load_settings
from broadcast.text.counts import counted
from broadcast.text.printable import printable

NOTHING_LOADED, SOME_REFUSED = 1, 3
"""Exit codes of an import."""
NOBODY, UNREADABLE, WITHOUT_REGION = 3, 4, 5
"""Exit codes of a search."""
SHOWN_GROUPS = 20
SHOWN_TITLES = 6

COLUMNS = "; ".join(f"{field}: {', '.join(names[:SHOWN_TITLES])}" for field, names in HEADERS.items())


def _read_region(_context: click.Context, _parameter: click.Parameter, region: str | None) -> str | None:
    try:
        return check_region(region)
    except InputError as error:
        raise click.BadParameter(str(error)) from None


@click.group(name="recipients")
def command() -> None:
    """Import recipients from CSV; find, show, suppress and erase one."""


@command.command(
    name="import",
    epilog=f"Columns, in any order and case, by these names and those of other languages. {COLUMNS}. Groups are "
    "separated by ; or |.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--region",
    callback=_read_region,
    help="ISO 3166 region of numbers without a country code (BROADCAST_DEFAULT_REGION).",
)
@click.option(
    "--numbers",
    type=click.Choice([form.value for form in Form]),
    help="What all numbers without a plus sign are, where digits can be read both ways.",
)
@click.option(
    "--map", "pairs", multiple=True, metavar="FIELD=COLUMN", help="Which column a field is, as phone=Kontakt."
)
@click.option("--skip-rows", type=click.IntRange(0, 1000), default=0, help="Lines before the header, such as titles.")
@click.option("--encoding", help="Encoding of the file; if not given, it is found.")
@click.option("--report", type=click.Path(path_type=Path), help="Where findings go [FILE.report.csv].")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--strict", is_flag=True, help="Load nothing if there is any finding.")
@click.option(
    "--replace-groups",
    is_flag=True,
    help="Take people to whom the file gives groups out of all others; an empty cell leaves what stands.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def import_command(
    *,
    file: Path,
    region: str | None,
    numbers: str | None,
    pairs: tuple[str, ...],
    skip_rows: int,
    encoding: str | None,
    report: Path | None,
    dry_run: bool,
    strict: bool,
    replace_groups: bool,
    as_json: bool,
) -> None:
    """Load recipients from a CSV FILE (- is stdin): good rows are loaded, bad ones reported by line.

    A recipient is known by external id, else by number, so a second import updates; empty cells leave what stands.
    Exit code 3 when rows were refused, 1 when nobody was loaded, also of a file without people.
    """
    options = Options(
        region=region or load_settings().default_region,
        form=Form(numbers) if numbers else None,
        strict=strict,
        replace_groups=replace_groups,
        encoding=encoding,
        skip_rows=skip_rows,
        named=read_mapping(pairs),
        dry_run=dry_run,
        number_key=_number_key(),
    )
    where = report or (file.with_name(f"{file.name}.report.csv") if file.is_file() else Path("stdin.report.csv"))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:18}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("reading", total=None)

        def progress(step: str, done: int, total: int) -> None:
            bar.update(shown, description=step, completed=done, total=total or None)

        async def work(connection: asyncpg.Connection) -> ImportResult:
            return await import_recipients(connection, file, where, options, progress=progress)

        result = with_directory(work)
    if as_json:
        click.echo(json.dumps(asdict(result), default=str, ensure_ascii=False))
    else:
        _print(result)
    if result.refused or not result.rows:
        raise SystemExit(NOTHING_LOADED if result.refused == result.rows else SOME_REFUSED)


def _print(result: ImportResult) -> None:
    table = Table(show_header=False, box=None)
    for title, count in (
        ("rows", result.rows),
        ("new recipients", result.inserted),
        ("updated", result.updated),
        ("of these with a new number", result.moved),
        ("unchanged", result.unchanged),
        ("repeated numbers", result.repeated),
        ("refused", result.refused),
        *((f"  {reason}", count) for reason, count in result.refused_by_reason.items()),
        ("suppressed", result.suppressed),
        ("in no group", result.without_group),
        ("new groups", result.groups_created),
        ("new memberships", result.memberships_added),
        ("ended memberships", result.memberships_removed),
    ):
        table.add_row(title, f"{count:,}")
    for name, change in result.groups.items():
        table.add_row(f"  group {name}", f"+{change.get('added', 0):,} -{change.get('removed', 0):,}")
    print_table(table)
    for note in result.notes:
        click.echo(printable(note))
    if result.new_groups:
        more = len(result.new_groups) - SHOWN_GROUPS
        names = printable(", ".join(result.new_groups[:SHOWN_GROUPS]))
        click.echo(f"new groups: {names}{f' and {more:,} more' if more > 0 else ''}")
    if result.unknown_columns:
        click.echo(f"ignored columns: {printable(', '.join(result.unknown_columns))}")
    if result.report is not None:
        click.echo(f"{counted(result.findings, 'finding')}, by line: {result.report}")
    click.echo(
        f"{result.rows / max(result.seconds, 0.001):,.0f} rows/s, {result.seconds:.1f} s, read as {result.encoding}"
    )
    first = "dry run, nothing is changed: " if result.dry_run else ""
    lines: Iterable[str] = (result.last_line,)
    if len(result.refused_by_reason) + bool(result.suppressed) + bool(result.without_group) >= LINES_FROM:
        lines = end_lines(
            unreached=result.unreached,
            rows=result.rows,
            suppressed=result.suppressed,
            without_group=result.without_group,
            reasons=result.refused_by_reason,
            advice=result.advice,
        )
    for line in lines:
        click.echo(f"{first}{printable(line)}")
        first = ""


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
    _print_facts(facts)


def _print_facts(facts: Mapping[str, object]) -> None:
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
    key = _number_key()
    with_directory(lambda connection: suppress_recipient(connection, wanted, reason, number_key=key))
    click.echo(f"recipient {wanted} is suppressed: {reason}")
    if key is None:
        click.echo("BROADCAST_NUMBER_HASH_KEY is not set, so the wish does not stay with the number", err=True)


@command.command()
@click.argument("recipient_id", metavar="ID")
def allow(recipient_id: str) -> None:
    """Lift the suppression of recipient ID."""
    wanted = _id(recipient_id)
    key = _number_key()
    with_directory(lambda connection: suppress_recipient(connection, wanted, None, number_key=key))
    click.echo(f"recipient {wanted} is no longer suppressed")


@command.command()
@click.argument("recipient_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(recipient_id: str, yes: bool) -> None:
    """Delete recipient ID for good; a keyed hash of the number stays, so that no import loads it again."""
    wanted = _id(recipient_id)
    key = load_settings().require_number_key()
    if not yes and not sys.stdin.isatty():
        raise InputError(
            f"recipient {wanted} is not erased: nobody can be asked, because stdin is no terminal; --yes erases unasked"
        )
    require_output()
    if not yes:
        click.confirm(f"Erase recipient {wanted} for good?", abort=True)
    with_directory(lambda connection: erase_recipient(connection, wanted, number_key=key))
    done = f"recipient {wanted} is erased"
    print_result(f"{done}; imports leave the number out: `broadcast recipients readmit` undoes that", done)


@command.command()
@click.argument("number")
@click.option(
    "--region",
    callback=_read_region,
    help="ISO 3166 region of a number without a country code (BROADCAST_DEFAULT_REGION).",
)
def readmit(number: str, region: str | None) -> None:
    """Let imports load the person with this NUMBER again, who was erased or wanted no messages."""
    key = load_settings().require_number_key()
    numbers = _readings(number, region)
    if not with_directory(lambda connection: remove_exclusions(connection, key, numbers)):
        raise InputError(f"number {mask(number)} is not left out by imports: nothing to undo")
    click.echo(f"number {mask(number)} may be imported again")


@command.command()
@click.argument("number")
@click.option(
    "--region",
    callback=_read_region,
    help="ISO 3166 region of a number without a country code (BROADCAST_DEFAULT_REGION).",
)
@click.option("--number", "in_full", is_flag=True, help="Show the phone number in full.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def find(number: str, region: str | None, in_full: bool, as_json: bool) -> None:
    """Who has this NUMBER, in any spelling: groups, language, suppression, last alerts.

    If it can be read as several numbers, all of them are looked for. Exit code 3 if nobody has it, 4 if it is no
    number, 5 if it needs a region.
    """
    try:
        numbers = _readings(number, region)
    except NumberError as error:
        fault = "no_region" if isinstance(error.__cause__, MissingRegionError) else "unreadable"
        if as_json:
            click.echo(json.dumps({"recipients": [], "exclusions": [], "fault": fault, "reason": str(error)}))
        click.echo(f"broadcast: {error}", err=True)
        raise SystemExit(WITHOUT_REGION if fault == "no_region" else UNREADABLE) from None
    key = _number_key()

    async def work(connection: asyncpg.Connection) -> tuple[list[Found], list[Exclusion]]:
        exclusions = await read_exclusions(connection, key)
        wishes = [wish for each in numbers if (wish := exclusions.of(each)) is not None]
        return await find_recipients(connection, numbers), wishes

    found, wishes = with_directory(work)
    facts = [asdict(each.recipient) | {"alerts": [asdict(alert) for alert in each.alerts]} for each in found]
    for fact in facts:
        fact["msisdn"] = fact["msisdn"] if in_full else mask(fact["msisdn"])
    if as_json:
        answer = {
            "recipients": facts,
            "exclusions": [asdict(wish) for wish in wishes],
            "fault": None if found else "nobody",
        }
        click.echo(json.dumps(answer, default=str, ensure_ascii=False))
    else:
        for fact in facts:
            alerts = [f"{alert['identifier']} ({alert['state']})" for alert in fact.pop("alerts")]
            _print_facts(fact | {"last alerts": tuple(alerts)})
        for wish in wishes:
            click.echo(f"the number is left out by imports: {WISHES[wish.wish]}, since {wish.at:%Y-%m-%d}")
        if not found:
            click.echo(f"nobody in the directory has the number {mask(number)}")
    if not found:
        raise SystemExit(NOBODY)


def _number_key() -> bytes | None:
    settings = load_settings()
    return settings.require_number_key() if settings.number_hash_key is not None else None


def _readings(number: str, region: str | None) -> tuple[str, ...]:
    try:
        found = readings(number, check_region(region or load_settings().default_region))
    except MissingRegionError as error:
        raise NumberError(
            f"number {mask(number)} {error}: name the country with --region DE, for example, or write + and its code"
        ) from error
    except NumberError as error:
        raise NumberError(f"number {mask(number)} {error}") from error
    if not found:
        raise NumberError(f"number {mask(number)} is not a valid number in its country: correct it, or its --region")
    return tuple(dict.fromkeys(each for one in found for each in all_spellings(one)))


def _id(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"{text!r} is not a recipient id: it must be digits (for an external id: --external)")
    found: int = ID.convert(text, None, None)
    return found
