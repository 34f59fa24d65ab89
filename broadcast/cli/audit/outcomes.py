"""`broadcast audit summary`, `deliveries`, `history`: who was reached, when, by which route."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

import asyncpg
import click

from broadcast.audit import Event, history, summary
from broadcast.audit.deliveries.export import FORMATS, write_deliveries
from broadcast.audit.deliveries.summary import Summary
from broadcast.cli.audit.audit_connection import plain, with_audit
from broadcast.cli.terminal.display import Console, Table, print_table, shown
from broadcast.cli.terminal.ids import ID
from broadcast.routing.simulation import note_of
from broadcast.settings import Settings
from broadcast.text.counts import MAYBE_SENT, counted
from schemas.status import DeliveryState


@click.command(name="summary")
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
        click.echo(json.dumps(asdict(found) | {"sound": found.sound}, default=plain))
    else:
        _show_summary(found)
    sys.exit(0 if found.sound else 1)


def _show_summary(found: Summary) -> None:
    console = Console(highlight=False)
    console.print(f"alert {shown(found.alert_id)}  {shown(found.state)}, lane {shown(found.lane)}")
    if note := note_of(found.simulated):
        console.print(f"[yellow]{shown(note)}[/yellow]")
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
    if found.maybe_twice:
        console.print(f"{shown(counted(found.maybe_twice, 'recipient'))} may have got it twice (possible_duplicate)")
    if found.unrecorded_submits:
        console.print(f"[red]{shown(counted(found.unrecorded_submits, 'recipient'))} {shown(MAYBE_SENT)}[/red]")
    if found.receipt_overdue:
        console.print(f"{found.receipt_overdue:,} submitted, and the receipt is overdue")
    if found.gap:
        console.print(f"[red]gap: {shown(counted(found.gap, 'recipient', 'is', 'are'))} not accounted for[/red]")
    for name, (counter, number) in found.differences.items():
        console.print(f"[red]{shown(name)}: the counter says {counter:,}, counting gives {number:,}[/red]")
    if found.outside_audience:
        console.print(
            f"[red]{shown(counted(found.outside_audience, 'recipient'))} with an attempt outside the audience[/red]"
        )
    if found.exact and found.sound:
        console.print("counted: every recipient is accounted for, and the counters are right")


@click.command()
@click.argument("alert", type=click.UUID)
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only this state.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: one JSON object a line on stdout.")
@click.option("--cursor", type=ID, help="Begin after this recipient id.")
@click.option("--limit", type=click.IntRange(1), help="At most so many; the cursor of the next goes to stderr.")
@click.option("--numbers", is_flag=True, help="With the numbers that the directory has now.")
def deliveries(  # noqa: PLR0917 (click passes keywords)
    alert: UUID, state: str | None, form: str, as_json: bool, cursor: int | None, limit: int | None, numbers: bool
) -> None:
    """What became of ALERT for each recipient, as it is read; any number of them."""
    if as_json and form == "csv":
        raise click.UsageError("--json and --format csv exclude each other; leave one out")
    form = "json" if as_json else form

    async def work(connection: asyncpg.Connection, settings: Settings) -> int | None:
        if note := note_of(await connection.fetchval("SELECT simulated FROM alerts WHERE alert_id = $1", alert)):
            click.echo(note, err=True)
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


@click.command(name="history")
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
        click.echo(json.dumps([asdict(event) for event in events], default=plain, ensure_ascii=False))
    else:
        _show_history(events)
    if all(event.kind == "alert" for event in events):
        why = "is not in the audience" if resolved else "is in no audience yet: it is not resolved"
        click.echo(f"recipient {recipient} of alert {alert} {why}", err=True)
        sys.exit(1)


def _show_history(events: Sequence[Event]) -> None:
    for note in filter(None, (note_of(event.facts.get("simulated")) for event in events if event.kind == "alert")):
        click.echo(note, err=True)
    table = Table("at", "what", "facts", "evidence", box=None)
    for event in events:
        facts = ", ".join(f"{name} {value}" for name, value in event.facts.items())
        source = event.source
        place = f"{source['topic']}/{source['partition']}@{source['offset']}" if "offset" in source else ""
        table.add_row(event.at.isoformat(timespec="milliseconds"), event.kind, facts, place)
    print_table(table)
