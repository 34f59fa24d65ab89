"""A command's connection to the audit, and its JSON."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import asyncpg

from broadcast.database.connection import open_connection
from broadcast.settings import Settings, load_settings

T = TypeVar("T")


def with_audit(work: Callable[[asyncpg.Connection, Settings], Awaitable[T]]) -> T:
    """Do `work` on a connection to the audit of this process's settings."""

    async def run() -> T:
        settings = load_settings()
        async with open_connection(settings) as connection:
            return await work(connection, settings)

    return asyncio.run(run())


def plain(value: object) -> str:
    """An instant or id as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
