"""`broadcast audit`: who was reached, when, by which route; and proof of it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from broadcast.audit import Event, Verification, history, rebuild_check, summary, verify
from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.deliveries.export import FORMATS, write_deliveries
from broadcast.audit.deliveries.summary import Summary
from broadcast.audit.evidence.verification import note_verification
from broadcast.audit.receipts.unmatched import count_waiting, find_unmatched
from broadcast.audit.receipts.unmatched_account import Unmatched
from broadcast.audit.receipts.unreadable import UnreadableDelivery, list_unreadable
from broadcast.cli.terminal.display import print_table
from broadcast.cli.terminal.ids import ID
from broadcast.clock import utc_now
from broadcast.database.connection import open_connection
from broadcast.errors import SettingsError
from broadcast.routes_file import load_routes
from broadcast.settings import Settings, load_settings
from schemas.status import DeliveryState

T = TypeVar("T")


def with_audit(work: Callable[[asyncpg.Connection, Settings], Awaitable[T]]) -> T:
    """Do `work` on a connection to the audit of this process's settings."""

    async def run() -> T:
        settings = load_settings()
        async with open_connection(settings) as connection:
            return await work(connection, settings)

    return asyncio.run(run())


@click.group(name="audit")
def command() -> None:
    """Who was reached, when, by which route; and proof of it. No phone numbers unless asked for."""


@command.command(name="summary")
@click.argument("alert", type=click.UUID)
@click.option("--exact", is_flag=True, help="Count every recipient anew and compare with the counters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def summary_command(alert: UUID, exact: bool, as_json: bool) -> None:
    """How many recipients of ALERT are in which state. Exit code 1 if the sum is not the audience."""

    async def work(connection: asyncpg.Connection, settings: Settings) -> Summary:
        deadline = timedelta(seconds=settings.receipt_deadline_seconds)
        return await summary(connection, alert, exact=exact, receipt_deadline=deadline)

    found = with_audit(work)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"sound": found.sound}, default=_plain))
    else:
        _show_summary(found)
    sys.exit(0 if found.sound else 1)


def _show_summary(found: Summary) -> None:
    console = Console(highlight=False)
    console.print(f"alert {found.alert_id}  {found.state}, lane {found.lane}")
    if found.audience is None:
        console.print("its audience is not resolved yet")
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for state, number in found.counts.items():
        if number:
            table.add_row(state.value, f"{number:,}")
    table.add_row("sum", f"{sum(found.counts.values()):,}")
    table.add_row("audience", f"{found.audience:,}")
    console.print(table)
    if found.possible_duplicates:
        console.print(f"{found.possible_duplicates:,} recipients may have got it twice (possible_duplicate)")
    if found.receipt_overdue:
        console.print(f"{found.receipt_overdue:,} submitted, and the receipt is overdue")
    if found.gap:
        console.print(f"[red]gap: {found.gap:,} recipients are not accounted for[/red]")
    for name, (counter, counted) in found.differences.items():
        console.print(f"[red]{name}: the counter says {counter:,}, counting gives {counted:,}[/red]")
    if found.outside_audience:
        console.print(f"[red]{found.outside_audience:,} recipients with an attempt are not in the audience[/red]")
    if found.exact and found.sound:
        console.print("counted: every recipient is accounted for, and the counters are right")


@command.command()
@click.argument("alert", type=click.UUID)
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only this state.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--cursor", type=ID, help="Begin after this recipient id.")
@click.option("--limit", type=click.IntRange(1), help="At most so many; the cursor of the next goes to stderr.")
@click.option("--numbers", is_flag=True, help="With phone numbers from the directory.")
def deliveries(  # noqa: PLR0917 (click passes keywords)
    alert: UUID, state: str | None, form: str, cursor: int | None, limit: int | None, numbers: bool
) -> None:
    """What became of ALERT for each recipient, as it is read; any number of them."""

    async def work(connection: asyncpg.Connection, settings: Settings) -> int | None:
        return await write_deliveries(
            connection,
            alert,
            sys.stdout,
            form=form,
            state=DeliveryState(state) if state else None,
            cursor=cursor,
            limit=limit,
            numbers=numbers,
            receipt_deadline=timedelta(seconds=settings.receipt_deadline_seconds),
        )

    next_cursor = with_audit(work)
    if next_cursor is not None:
        click.echo(f"next: --cursor {next_cursor}", err=True)


@command.command(name="history")
@click.argument("alert", type=click.UUID)
@click.argument("recipient", type=ID)
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout, with the raw records.")
def history_command(alert: UUID, recipient: int, as_json: bool) -> None:
    """Everything that happened to RECIPIENT for ALERT, from the evidence. Exit code 1 if not in the audience."""

    async def work(connection: asyncpg.Connection, _: Settings) -> tuple[list[Event], bool]:
        resolved = await connection.fetchval("SELECT audience IS NOT NULL FROM alerts WHERE alert_id = $1", alert)
        return await history(connection, alert, recipient), bool(resolved)

    events, resolved = with_audit(work)
    if as_json:
        click.echo(json.dumps([asdict(event) for event in events], default=_plain, ensure_ascii=False))
    else:
        _show_history(events)
    if all(event.kind == "alert" for event in events):
        why = "is not in the audience" if resolved else "is in no audience yet: it is not resolved"
        click.echo(f"recipient {recipient} of alert {alert} {why}", err=True)
        sys.exit(1)


def _show_history(events: Sequence[Event]) -> None:
    table = Table("at", "what", "facts", "evidence", box=None)
    for event in events:
        facts = ", ".join(f"{name} {value}" for name, value in event.facts.items())
        source = event.source
        place = f"{source['topic']}/{source['partition']}@{source['offset']}" if "offset" in source else ""
        table.add_row(event.at.isoformat(timespec="milliseconds"), event.kind, facts, place)
    print_table(table)


@command.command(name="verify")
@click.argument("alert", type=click.UUID, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def verify_command(alert: UUID | None, as_json: bool) -> None:
    """Compute every evidence chain anew, and the chunk chain of ALERT or of all. Exit code 1 if one does not hold."""

    async def work(connection: asyncpg.Connection, _: Settings) -> Verification:
        found = await verify(connection, alert, progress)
        await note_verification(connection, found)
        return found

    with _bar("verify") as (_, progress):
        found = with_audit(work)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"sound": found.sound}))
    else:
        click.echo(f"{found.segments:,} segments with {found.records:,} records, {found.chunks:,} chunks")
        for name, head in found.heads.items():
            click.echo(f"  {name}  epoch {found.epochs[name]}  head {head}")
        for fault in found.faults:
            click.echo(f"FAULT {fault}")
        click.echo("sound" if found.sound else "NOT sound")
    sys.exit(0 if found.sound else 1)


@command.command()
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
        click.echo(f"{found.segments:,} segments give {found.attempts:,} attempts and {found.receipts:,} receipts")
        if found.parked:
            click.echo(f"{found.parked:,} receipts are parked: no attempt has their message id")
        if found.unreadable:
            click.echo(f"{found.unreadable:,} deliveries could not be read: `broadcast audit unreadable` lists them")
        for fault in found.faults:
            click.echo(f"FAULT {fault}")
        click.echo("equal" if found.sound else "NOT equal")
    sys.exit(0 if found.sound else 1)


@command.command(name="unreadable")
@click.option("--account", help="Only of this account.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout, with all octets as hex.")
def unreadable_command(account: str | None, limit: int, as_json: bool) -> None:
    """What SMSCs delivered and nobody could read, the newest first. Phone numbers in it are #."""

    async def work(connection: asyncpg.Connection, settings: Settings) -> list[UnreadableDelivery]:
        await _check_account(connection, settings, account)
        return await list_unreadable(connection, account, limit)

    found = with_audit(work)
    if as_json:
        click.echo(json.dumps([_described(one) for one in found], default=_plain))
        return
    if not found:
        click.echo("every delivery was read")
        return
    table = Table("received", "account", "why", "esm_class", "data_coding", "octets", "text", "evidence", box=None)
    for one in found:
        raw = one.raw
        table.add_row(
            *(f"{one.received_at:%Y-%m-%d %H:%M:%S}", one.account, raw.reason),
            *(f"0x{raw.esm_class:02X}", f"{raw.data_coding}", f"{raw.octets:,}"),
            *(escape(_printable(raw.text + raw.parameters + raw.body)), f"{one.topic}/{one.partition}@{one.offset}"),
        )
    print_table(table)
    click.echo(
        "They are not receipts of anybody: their recipients stay submitted. --json shows all octets. If they are "
        "receipts, show them to the carrier, and ask for receipts as in SMPP 3.4, appendix B, with the message id and "
        "in one part."
    )


@command.command(name="unmatched")
@click.option("--account", help="Only of this account.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def unmatched_command(account: str | None, as_json: bool) -> None:
    """Receipts that have named no message of ours for a minute: by account, and which id rule would match them."""

    async def work(connection: asyncpg.Connection, settings: Settings) -> tuple[list[Unmatched], dict[str, int]]:
        await _check_account(connection, settings, account)
        now = utc_now()
        return await find_unmatched(connection, now, account), await count_waiting(connection, now, account)

    found, waiting = with_audit(work)
    if as_json:
        described = [_described_unmatched(one) | {"waiting": waiting.pop(one.account, 0)} for one in found]
        described += [{"account": name, "count": 0, "waiting": count} for name, count in waiting.items()]
        click.echo(json.dumps(described, default=_plain))
        return
    if not found:
        click.echo("every receipt that is a minute old names a message" if waiting else "every receipt names a message")
    for name, count in waiting.items():
        click.echo(f"account {name}: {count:,} receipts name no message yet: under a minute old, so look again then")
    for one in found:
        click.echo(
            f"account {one.account}: {one.count:,} receipts, {one.oldest:%Y-%m-%d %H:%M} to "
            f"{one.newest:%Y-%m-%d %H:%M}; the newest {one.sampled:,} were looked at"
        )
        for rule, count in one.rules:
            click.echo(f"  {rule.name} would match {count:,} of the newest {one.sampled:,}")
        click.echo(f"  {one.advice}")


async def _check_account(connection: asyncpg.Connection, settings: Settings, account: str | None) -> None:
    """Refuse an account that neither the audit nor the routes file has: it would get an all-clear."""
    if account is None:
        return
    known = set((await account_names(connection)).values())
    if account not in known and settings.routes_file is not None:
        with suppress(SettingsError):
            known.update(one.name for route in load_routes(settings) for one in route.accounts)
    if account not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise click.BadParameter(
            f"{account!r} is not known; name one of the known accounts: {names}", param_hint="--account"
        )


def _described_unmatched(found: Unmatched) -> dict[str, object]:
    rules = {rule.name: count for rule, count in found.rules}
    fitting = [rule.name for rule in found.fitting]
    return asdict(found) | {
        "current": found.current.name,
        "in_force": found.in_force.name,
        "earlier_rule": found.earlier_rule.name,
        "rules": rules,
        "fitting": fitting,
        "advice": found.advice,
    }


def _described(delivery: UnreadableDelivery) -> dict[str, object]:
    octets = {name: getattr(delivery.raw, name).hex() for name in ("text", "parameters", "body")}
    return asdict(delivery) | {"raw": msgspec.structs.asdict(delivery.raw) | octets}


def _printable(octets: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in octets)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


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
