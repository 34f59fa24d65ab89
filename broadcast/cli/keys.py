"""`broadcast keys`: create, list and revoke API keys."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeVar

import asyncpg
import click

from broadcast.cli.terminal.display import Table, print_table, write_time
from broadcast.cli.terminal.output import require_output
from broadcast.database.connection import open_connection
from broadcast.keys import Key, create_key, list_keys, revoke_key
from broadcast.settings import load_settings

T = TypeVar("T")


@click.group(name="keys")
def command() -> None:
    """Create, list and revoke API keys."""


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def create(name: str, as_json: bool) -> None:
    """Create a key for NAME, which stands in the audit as the actor. The key is shown once, on stdout."""
    require_output()
    key, token = _on_database(lambda connection: create_key(connection, name))
    if as_json:
        click.echo(json.dumps(_described(key) | {"key": token}))
        return
    click.echo(f"API key for {key.name} ({key.id}). It is not stored and cannot be shown again:", err=True)
    click.echo(token)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def list_command(as_json: bool) -> None:
    """All keys, revoked ones too."""
    keys = _on_database(list_keys)
    if as_json:
        click.echo(json.dumps([_described(key) for key in keys]))
        return
    table = Table("name", "id", "created", "revoked", box=None)
    for key in keys:
        revoked = write_time(key.revoked_at) if key.revoked_at else "-"
        table.add_row(key.name, key.id, write_time(key.created_at), revoked)
    print_table(table)


@command.command()
@click.argument("name_or_id", metavar="NAME|ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def revoke(name_or_id: str, as_json: bool) -> None:
    """Revoke the active key of that name or id; the API refuses it a few seconds later."""
    key = _on_database(lambda connection: revoke_key(connection, name_or_id))
    click.echo(json.dumps(_described(key)) if as_json else f"revoked the key of {key.name} ({key.id})")


def _on_database(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_connection(load_settings()) as connection:
            return await work(connection)

    return asyncio.run(run())


def _described(key: Key) -> dict[str, object]:
    instants = {name: at.isoformat() if at else None for name, at in asdict(key).items() if name.endswith("_at")}
    return asdict(key) | instants
