"""Connections to PostgreSQL, and waiting for it without limit."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from broadcast.retry import retry
from broadcast.settings import Settings

T = TypeVar("T")

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection, or one lent by a pool: they offer the same."""

AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when the server is away or stops: worth waiting for."""

CONNECT_TIMEOUT_SECONDS = 5.0


async def connect(settings: Settings) -> asyncpg.Connection:
    """One connection, with application settings of the process; raises one of `AWAY` if there is no server."""
    return await asyncpg.connect(settings.database_url.get_secret_value(), timeout=CONNECT_TIMEOUT_SECONDS)


async def create_pool(settings: Settings, *, command_timeout_seconds: float | None = 60.0) -> asyncpg.Pool:
    """A pool that connects only when a connection is wanted: it can be made while the server is away."""
    return await asyncpg.create_pool(
        settings.database_url.get_secret_value(),
        min_size=0,
        max_size=settings.database_pool_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
    )


async def wait_for_database(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again while the database is away; other errors pass. `what` names who waits."""
    return await retry(what, work, service="postgresql", away=AWAY)
