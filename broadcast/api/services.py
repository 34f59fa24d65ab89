"""What every route of the API uses: Kafka, keys and register in memory, and PostgreSQL while it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg
import structlog
from fastapi import Request

from broadcast import metrics
from broadcast.api.documents import ReadingTurns
from broadcast.api.problems import unavailable
from broadcast.api.publisher import Publisher
from broadcast.api.register import Register
from broadcast.clock import monotonic
from broadcast.database.pool import AWAY, TRANSIENT, Connection, create_pool, wait_for_database
from broadcast.health import Health
from broadcast.keys import Keyring, read_hashes
from broadcast.settings import Settings
from schemas.enumeration import MsgType, Status
from schemas.topics import Names

KEYS_REFRESH_SECONDS = 5.0
"""A revoked key is refused after this at the latest, while the database is there."""

KEYS_REFRESH_LEAST_SECONDS = 1.0
"""Least time between refreshes that unknown keys cause: a stranger cannot make the API ask the database."""

ASK_BUDGET_SECONDS = 0.25
"""What publishing and cancelling may spend on a question to the database that they can do without."""

SILENCE_SECONDS = 2.0
"""After such a question failed, none is asked for so long."""

STATEMENT_SECONDS = 30.0
"""For one statement; a server that takes longer is as good as away."""

CLOSE_SECONDS = 2.0
"""For the pool to close at a stop."""

READ_BUDGET_SECONDS = 5.0
"""Longest wait for a connection by a route that cannot do without the database."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Services:
    """Made once per process, in its event loop; the server runs its background work."""

    def __init__(self, settings: Settings, health: Health, pool: asyncpg.Pool) -> None:
        self.settings = settings
        self.health = health
        self.names = Names(settings.topic_prefix)
        self.publisher = Publisher(settings, health)
        self.register = Register()
        self.keyring = Keyring()
        self.turns = ReadingTurns()
        self._pool = pool
        self._readers = asyncio.Semaphore(max(settings.database_pool_size - 1, 1))
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._silent_until = 0.0
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._keys_asked_at = float("-inf")
        self._keys_asking: asyncio.Task[bool] | None = None

    @classmethod
    async def create(cls, settings: Settings, health: Health) -> "Services":
        """Services that are not connected to anything yet."""
        metrics.begin(metrics.alerts, Status, MsgType, ("accepted",))
        return cls(settings, health, await create_pool(settings, "api", command_timeout_seconds=STATEMENT_SECONDS))

    def lock(self, entry_id: UUID) -> asyncio.Lock:
        """One lock for each alert id or request id: the same request twice at once is one after the other."""
        return self._locks.setdefault(entry_id, asyncio.Lock())

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        """A connection for a route that needs one; a 503 problem while PostgreSQL is away.

        One of the pool is left for publishing and cancelling, unless it has only one.
        """
        try:
            async with self._readers, self._pool.acquire(timeout=READ_BUDGET_SECONDS) as connection:
                yield connection
        except (*AWAY, *TRANSIENT) as error:
            raise unavailable(
                "database", "PostgreSQL cannot be reached; publishing and cancelling go on without it"
            ) from error

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> tuple[bool, T | None]:
        """(answered, answer) of a question that the caller can do without; (False, None) within a quarter second."""
        if monotonic() < self._silent_until:
            return False, None
        # A task of its own: where the server hangs, asyncpg's giving up hangs with it.
        asking = asyncio.create_task(self._ask(question))
        try:
            await asyncio.wait((asking,), timeout=ASK_BUDGET_SECONDS)
            if asking.done():
                return True, asking.result()
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
            pass
        finally:
            if not asking.done():
                asking.cancel()
                self._abandoned.add(asking)
                asking.add_done_callback(self._forget)
        self._silent_until = monotonic() + SILENCE_SECONDS
        return False, None

    async def refresh_keys(self) -> bool:
        """Read the active keys again, unless that was just done; whether the latest reading succeeded.

        Nothing changes while they cannot be read. Callers at the same time wait for one reading.
        """
        asking = self._keys_asking
        if asking is None or (asking.done() and monotonic() - self._keys_asked_at >= KEYS_REFRESH_LEAST_SECONDS):
            self._keys_asked_at = monotonic()
            asking = self._keys_asking = asyncio.create_task(self._ask_keys(), name="reading api keys")
        # The caller may be cancelled; the others still wait for it.
        return await asyncio.shield(asking)

    async def keep_keys(self) -> None:
        """Load the keys, waiting for PostgreSQL without limit, and follow their changes, until cancelled."""
        self.health.hold("keys", "waiting for PostgreSQL: API keys are not loaded")
        while True:
            try:
                self.keyring.replace(await wait_for_database("api keys", self._read_keys))
                self.health.release("keys")
            except asyncpg.PostgresError as error:
                log.warning("keys_not_read", error=repr(error))
            await asyncio.sleep(KEYS_REFRESH_SECONDS)

    async def close(self) -> None:
        """Close the pool; connections that hang are cut."""
        await self.turns.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._pool.acquire() as connection:
            return await question(connection)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()

    async def _ask_keys(self) -> bool:
        answered, hashes = await self.ask(read_hashes)
        if answered and hashes is not None:
            self.keyring.replace(hashes)
            return True
        return False

    async def _read_keys(self) -> dict[str, tuple[str, bytes]]:
        async with self._pool.acquire(timeout=READ_BUDGET_SECONDS) as connection:
            return await read_hashes(connection)


async def services_of(request: Request) -> Services:
    """The services of the application that serves a request. Async, or FastAPI would send it through a thread."""
    services: Services = request.app.state.services
    return services
