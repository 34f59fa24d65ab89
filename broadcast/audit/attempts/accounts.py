"""Accounts by the numbers that attempts carry instead of their names."""

from collections.abc import Iterable

import asyncpg

from broadcast.database import Connection


async def account_names(connection: Connection) -> dict[int, str]:
    """The names of all accounts by their numbers."""
    return {row["id"]: row["name"] for row in await connection.fetch("SELECT id, name FROM accounts")}


async def number_accounts(connection: asyncpg.Connection, names: Iterable[str], known: dict[str, int]) -> None:
    """Have a number for every name in `known`: those that are missing are read, and inserted where they are new."""
    missing = sorted(set(names) - known.keys() - {""})
    if not missing:
        return
    await connection.execute(
        "INSERT INTO accounts (name) SELECT n FROM unnest($1::text[]) AS t(n) "
        "WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.name = n) ON CONFLICT DO NOTHING",
        missing,
    )
    rows = await connection.fetch("SELECT id, name FROM accounts WHERE name = ANY ($1::text[])", missing)
    known.update({row["name"]: row["id"] for row in rows})
