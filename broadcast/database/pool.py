"""Connections to PostgreSQL, and waiting for it without limit."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from broadcast import metrics
from broadcast.database.lock_holders import name_holders
from broadcast.database.server_settings import application_name, keep_alive, server_settings
from broadcast.retry import Backoff, retry
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
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What asyncpg raises when the server is away, stops or has ended this session: worth waiting for."""

TRANSIENT: tuple[type[BaseException], ...] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""Errors of a transaction that another one was in the way of: the server is there, and it may be tried again."""

REFUSED: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.CheckViolationError,
    asyncpg.NotNullViolationError,
    OverflowError,
    UnicodeError,
)
"""Errors of a value that PostgreSQL does not take: it will not take it later either."""

CONNECT_TIMEOUT_SECONDS = 5.0

COMMAND_TIMEOUT_SECONDS = 60.0
"""One statement of a stage; a server that takes this long is as good as away."""

log = structlog.get_logger(__name__)


async def connect(
    settings: Settings,
    stage: str = "command",
    *,
    command_timeout_seconds: float | None = None,
    more: Mapping[str, str] | None = None,
) -> asyncpg.Connection:
    """One connection of a stage; raises one of `AWAY` if there is no server. `more` are settings of the session."""
    connection = await asyncpg.connect(
        settings.database_url.get_secret_value(),
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
        server_settings=server_settings(application_name(stage, settings.slot)) | dict(more or {}),
    )
    await keep_alive(connection)
    return connection


async def create_pool(
    settings: Settings, stage: str = "command", *, command_timeout_seconds: float | None = COMMAND_TIMEOUT_SECONDS
) -> asyncpg.Pool:
    """A pool that connects only when a connection is wanted: it can be made while the server is away."""
    return await asyncpg.create_pool(
        settings.database_url.get_secret_value(),
        min_size=0,
        max_size=settings.database_pool_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
        server_settings=server_settings(application_name(stage, settings.slot)),
        init=keep_alive,
    )


async def wait_for_database(what: str, work: Callable[[], Awaitable[T]], *, pool: asyncpg.Pool | None = None) -> T:
    """Do `work`, again and again while the database is away or another transaction is in the way; other errors pass.

    `what` names who waits. With a pool it is logged who holds a lock that the work waits for.
    """
    once = work if pool is None else partial(name_holders, pool, what, work)
    pause = Backoff()
    while True:
        try:
            return await retry(what, once, service="postgresql", away=AWAY)
        except TRANSIENT as error:
            metrics.transactions_refused.labels(what).inc()
            log.warning("transaction_refused", what=what, error=repr(error))
            await pause.sleep()
