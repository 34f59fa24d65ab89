"""Bring a database to the newest schema: Alembic, with migrations in plain SQL."""

import asyncio
from contextlib import aclosing
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import asyncpg

from broadcast.database.server_settings import application_name, server_settings
from broadcast.errors import SettingsError, UnavailableError
from broadcast.retry import Backoff

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x70C51
"""Advisory lock: two processes that migrate at once do so one after the other."""

LOCK_TRIES = 6
"""Of ten seconds each: so long another migration, or somebody's transaction, is waited for."""

LOCK_NOT_AVAILABLE = asyncpg.LockNotAvailableError.sqlstate

_ONE_AT_A_TIME = Lock()
"""Alembic keeps what it works on in module variables: two migrations within one process would mix theirs."""


def _upgrade(connection: "Connection") -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(database_url: str) -> None:
    """Apply every missing migration in one transaction; does nothing if there is none.

    SettingsError where the server refuses user, password or database; OSError where there is no server;
    UnavailableError where somebody holds a lock for a minute.
    """

    def work() -> None:
        with _ONE_AT_A_TIME:
            asyncio.run(_migrate_when_free(database_url))

    await asyncio.to_thread(work)


async def _migrate_when_free(database_url: str) -> None:
    from sqlalchemy.exc import DBAPIError

    pause = Backoff()
    for left in reversed(range(LOCK_TRIES)):
        try:
            return await _migrate(database_url)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if not left:
                raise UnavailableError(
                    "another session holds a lock on the database: look for it in pg_stat_activity, end it, and "
                    "run `broadcast database migrate` again"
                ) from None
            await pause.sleep()
    return None


async def _migrate(database_url: str) -> None:
    # Every stage imports this package, and Alembic costs each of them a second and 40 MB.
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine

    # asyncpg reads the address itself: SQLAlchemy does not know `sslmode`.
    session = server_settings(application_name("migration", ""))
    creator = partial(asyncpg.connect, database_url, server_settings=session)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator)
    try:
        try:
            connection = await engine.connect()
        except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise SettingsError(
                f"BROADCAST_DATABASE_URL: {reason}; correct the address, or look at the server"
            ) from None
        async with aclosing(connection), connection.begin():
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
