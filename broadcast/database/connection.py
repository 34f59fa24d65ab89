"""What this room needs of PostgreSQL: a connection, pooled or not; for commands, one whose errors can be read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from broadcast.database.pool import AWAY, connect
from broadcast.errors import SettingsError, UnavailableError
from broadcast.settings import Settings

Connection = asyncpg.Connection | PoolConnectionProxy

NO_DATABASE: tuple[type[BaseException], ...] = (
    *AWAY,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection for one command: an absent server or schema becomes an error that says what to do."""
    try:
        connection = await connect(settings)
    except NO_DATABASE as error:
        raise UnavailableError(f"database_url leads to no database ({error}): start it, or set it right") from error
    try:
        yield connection
    except asyncpg.UndefinedTableError as error:
        raise SettingsError(f"database_url: {error}; run `broadcast database migrate`") from error
    except BrokenPipeError:
        raise  # whoever read our output has had enough
    except AWAY as error:
        raise UnavailableError(f"the database went away ({error}): run the same command again") from error
    finally:
        connection.terminate()
