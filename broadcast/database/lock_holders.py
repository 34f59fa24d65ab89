"""Waiting for a lock of PostgreSQL: an event of its own, which names who holds the lock."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

T = TypeVar("T")

LOOK_AFTER_SECONDS: Final = 2.0
"""Work that takes longer may wait for a lock: so often it is asked who holds it."""

LOOK_SECONDS: Final = 1.0
"""For such a question: it must not hold up the work."""

CANCEL_SECONDS: Final = 2.0
"""For work that is cancelled to end: where the server hangs, asyncpg's giving up hangs with it."""

log = structlog.get_logger(__name__)

# Everybody may read pid and application_name of a session; the rest only its own role and pg_read_all_stats.
_HOLDERS = """
SELECT DISTINCT h.pid, h.application_name AS name, h.xact_start AS since, h.state
FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b(pid)
JOIN pg_stat_activity h ON h.pid = b.pid
WHERE w.datname = current_database() AND w.application_name = current_setting('application_name')
    AND w.wait_event_type = 'Lock'
ORDER BY since NULLS LAST
"""

_OPEN = """
SELECT pid, application_name AS name, xact_start AS since, state FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type =
    'client backend'
ORDER BY xact_start LIMIT 3
"""


class Holder(NamedTuple):
    """A session that holds a lock: its process at the server, its application_name, since when, and its state."""

    pid: int
    name: str
    since: datetime | None
    state: str | None

    def __str__(self) -> str:
        since = f" since {self.since.isoformat(timespec='seconds')}" if self.since else ""
        return f"{self.name or 'a session without a name'} (pid {self.pid}, {self.state or 'state not shown'}{since})"


async def find_holders(pool: asyncpg.Pool) -> list[Holder]:
    """Who holds a lock that a session with the pool's application_name waits for; empty if it cannot be asked."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), pool.acquire() as connection:
            return await read_holders(connection)
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        return []


async def read_holders(connection: asyncpg.Connection | PoolConnectionProxy) -> list[Holder]:
    """Who holds a lock that a session with this connection's application_name waits for."""
    return [Holder(*row) for row in await connection.fetch(_HOLDERS)]


async def find_open(connection: asyncpg.Connection) -> list[Holder]:
    """The three oldest open transactions of others in this database: one of them holds what timed out."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return [Holder(*row) for row in await connection.fetch(_OPEN)]
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        return []


async def name_holders(pool: asyncpg.Pool, what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`; while it waits for a lock, log `lock_awaited` with who holds it. Raises what the work raises."""
    working = asyncio.ensure_future(work())
    known: Sequence[Holder] = ()
    try:
        while not (await asyncio.wait((working,), timeout=LOOK_AFTER_SECONDS))[0]:
            holders = await find_holders(pool)
            if holders and holders != known:
                log.warning("lock_awaited", what=what, holders=[str(holder) for holder in holders])
                known = holders
        return working.result()
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait((working,), timeout=CANCEL_SECONDS)
