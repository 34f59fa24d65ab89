"""`broadcast audit unreadable` and `unmatched`: what SMSCs sent, and no message of ours can be found for."""

import json
from contextlib import suppress
from dataclasses import asdict

import asyncpg
import click
import msgspec

from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.receipts.unmatched import count_waiting, find_unmatched
from broadcast.audit.receipts.unmatched_account import Unmatched
from broadcast.audit.receipts.unreadable import UnreadableDelivery, list_unreadable
from broadcast.cli.audit.audit_connection import plain, with_audit
from broadcast.cli.terminal.display import Table, print_table, write_time
from broadcast.clock import utc_now
from broadcast.errors import SettingsError
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from broadcast.text.counts import counted
from broadcast.text.printable import printable


@click.command(name="unreadable")
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
        click.echo(json.dumps([_described(one) for one in found], default=plain))
        return
    if not found:
        click.echo("every delivery was read")
        return
    table = Table("received", "account", "why", "esm_class", "data_coding", "octets", "text", "evidence", box=None)
    for one in found:
        raw = one.raw
        table.add_row(
            *(write_time(one.received_at), one.account, raw.reason),
            *(f"0x{raw.esm_class:02X}", f"{raw.data_coding}", f"{raw.octets:,}"),
            *(_dotted(raw.text + raw.parameters + raw.body), f"{one.topic}/{one.partition}@{one.offset}"),
        )
    print_table(table)
    click.echo(
        "They are not receipts of anybody: their recipients stay submitted. --json shows all octets. If they are "
        "receipts, show them to the carrier, and ask for receipts as in SMPP 3.4, appendix B, with the message id and "
        "in one part."
    )


@click.command(name="unmatched")
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
        click.echo(json.dumps(described, default=plain))
        return
    if not found:
        click.echo("every receipt that is a minute old names a message" if waiting else "every receipt names a message")
    for name, count in waiting.items():
        click.echo(
            f"account {name}: {counted(count, 'receipt', 'names', 'name')} no message yet: "
            "under a minute old, so look again then"
        )
    for one in found:
        click.echo(
            f"account {one.account}: {counted(one.count, 'receipt')}, {write_time(one.oldest)} to "
            f"{write_time(one.newest)}; looked at: the newest {one.sampled:,}"
        )
        for rule, count in one.rules:
            click.echo(f"  {rule.name} would match {count:,} of the newest {one.sampled:,}")
        click.echo(f"  {printable(one.advice)}")


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


def _dotted(octets: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in octets)
