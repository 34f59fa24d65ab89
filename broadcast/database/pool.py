"""Connections to PostgreSQL, and waiting for it without limit."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from broadcast.settings import Settings

T = TypeVar("T")

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection, or one lent by a pool: they offer the same."""

log = structlog.get_logger(__name__)

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
"""What asyncpg raises when the server is away or going: worth waiting for."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0


async def connect(settings: Settings) -> asyncpg.Connection:
    """One connection, with application settings of the process; raises one of `AWAY` if there is no server."""
    return await asyncpg.connect(settings.database_url.get_secret_value(), timeout=CONNECT_TIMEOUT_SECONDS)


async def create_pool(settings: Settings, *, command_timeout_seconds: float | None = 60.0) -> asyncpg.Pool:
    """A pool that opens its connections when they are first wanted, so that it can be made while the server is away."""
    return await asyncpg.create_pool(
        settings.database_url.get_secret_value(),
        min_size=0,
        max_size=settings.database_pool_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
    )


async def wait_for_database(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again with backoff and jitter while the database is away; other errors pass."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await work()
        except AWAY as error:
            log.warning("database_away", what=what, error=repr(error), pause_seconds=round(pause, 2))
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
