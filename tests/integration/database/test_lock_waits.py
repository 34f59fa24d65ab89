"""A session that hangs holds nobody up: limits of every connection, and lock waits that name who holds the lock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from broadcast.audit.session import open_session
from broadcast.database import Connection, connect, create_pool, lock_holders, migrate, wait_for_database
from broadcast.database.connection import open_connection
from broadcast.database.server_settings import (
    IDLE_IN_TRANSACTION_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    UNACKNOWLEDGED_SECONDS,
    application_name,
)
from broadcast.embedded.servers.postgres import Postgres
from broadcast.errors import UnavailableError
from broadcast.settings import Settings

LIMITS = {
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS:.0f}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS:.0f}s",
    "tcp_user_timeout": f"{UNACKNOWLEDGED_SECONDS * 1000}",
    "tcp_keepalives_idle": "10",
}


@pytest.fixture
def own(database_url: str) -> Settings:
    return Settings(database_url=database_url, slot="7")


@asynccontextmanager
async def pooled(settings: Settings) -> AsyncIterator[Connection]:
    pool = await create_pool(settings, "planner")
    async with pool.acquire() as connection:
        yield connection
    await pool.close()


@asynccontextmanager
async def single(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(settings, "sender")
    yield connection
    await connection.close()


@asynccontextmanager
async def recording(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await open_session(settings)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("opened", "name"),
    [(pooled, "tocsin planner 7"), (single, "tocsin sender 7"), (recording, "tocsin recorder 7")],
)
async def test_each_connection_names_itself_and_gives_up_locks(own: Settings, opened: object, name: str) -> None:
    async with opened(own) as connection:  # type: ignore[operator]
        assert await connection.fetchval("SHOW application_name") == name
        assert {limit: await connection.fetchval(f"SHOW {limit}") for limit in LIMITS} == LIMITS


def test_an_application_name_is_one_that_postgresql_keeps() -> None:
    assert application_name("planner", "ö" * 100) == "tocsin planner " + "?" * 48


async def test_a_session_of_somebody_else_gives_up_its_locks_too(postgres_server: Postgres, own: Settings) -> None:
    name = own.database_url.get_secret_value().rsplit("/", 1)[-1]
    fresh = postgres_server.dsn_of(f"{name}_fresh")
    connection = await connect(own)
    await connection.execute(f'CREATE DATABASE "{name}_fresh"')
    try:
        await migrate(fresh)
        other = await asyncpg.connect(fresh)
        assert await other.fetchval("SHOW idle_in_transaction_session_timeout") == "30s"
        assert await other.fetchval("SHOW lock_timeout") == "30s"
        await other.close()
    finally:
        await connection.execute(f'DROP DATABASE "{name}_fresh" WITH (FORCE)')
        await connection.close()


async def test_a_lock_wait_names_who_holds_the_lock_and_is_tried_again(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_holders, "LOOK_AFTER_SECONDS", 0.05)
    holder = await connect(Settings(database_url=own.database_url, slot="9"), "recorder")
    pool = await create_pool(own, "planner")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("INSERT INTO accounts (name) VALUES ('a')")
    pid = holder.get_server_pid()

    async def work() -> str:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '300ms'")
            return await connection.execute("INSERT INTO accounts (name) VALUES ('a') ON CONFLICT DO NOTHING")

    with capture_logs() as logs:
        working = asyncio.create_task(wait_for_database("planning", work, pool=pool))
        async with asyncio.timeout(10):
            while not [line for line in logs if line["event"] == "transaction_refused"]:
                await asyncio.sleep(0.02)
        await transaction.commit()
        assert await asyncio.wait_for(working, 10) == "INSERT 0 0"
    assert not [line for line in logs if line["event"] == "service_awaited"]
    [awaited, *_] = [line for line in logs if line["event"] == "lock_awaited"]
    assert awaited["what"] == "planning"
    [named] = awaited["holders"]
    assert named.startswith(f"tocsin recorder 9 (pid {pid}, idle in transaction since ")
    await holder.close()
    await pool.close()


async def test_a_command_that_waits_for_a_lock_names_open_transactions(own: Settings) -> None:
    async with single(own) as holder, holder.transaction():
        await holder.execute("LOCK TABLE accounts")
        with pytest.raises(UnavailableError, match=r"in the way .* Open are: tocsin sender 7 \(pid \d+, idle in"):
            await add_account_by_command(own)


async def add_account_by_command(settings: Settings) -> None:
    async with open_connection(settings) as connection:
        await connection.execute("SET lock_timeout = '100ms'")
        await connection.execute("INSERT INTO accounts (name) VALUES ('a')")
