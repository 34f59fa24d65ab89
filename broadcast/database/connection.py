"""A connection for one command, whose errors say what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from broadcast.database.lock_holders import find_open
from broadcast.database.pool import AWAY, CONNECT_TIMEOUT_SECONDS, TRANSIENT, connect
from broadcast.errors import SettingsError, UnavailableError, name_error
from broadcast.settings import Settings, is_of_stack

NO_DATABASE: tuple[type[BaseException], ...] = (
    *AWAY,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What asyncpg raises when there is no server or database at the address, or it refuses us."""


def no_database(error: BaseException, settings: Settings) -> UnavailableError:
    """The error of a command for one of `NO_DATABASE`: a server that is frozen is not absent."""
    if isinstance(error, TimeoutError) and not error.errno:
        return UnavailableError(
            f"PostgreSQL (BROADCAST_DATABASE_URL) does not answer within {CONNECT_TIMEOUT_SECONDS:g} s: it is frozen "
            "or overloaded, or something on the way drops what is sent. Look at its processes and its log, and run the "
            "same command again; starting another server does not help"
        )
    if is_of_stack(settings, "database_url"):
        return UnavailableError(
            f"nothing runs in the data directory {settings.data_dir} ({name_error(error)}): start it with "
            "`broadcast up`, or set BROADCAST_DATABASE_URL"
        )
    return UnavailableError(
        f"BROADCAST_DATABASE_URL leads to no database ({name_error(error)}): start it, or correct the address"
    )


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection for one command: an absent server or schema becomes an error that says what to do."""
    try:
        connection = await connect(settings)
    except NO_DATABASE as error:
        raise no_database(error, settings) from error
    try:
        yield connection
    except asyncpg.UndefinedTableError as error:
        raise SettingsError(f"BROADCAST_DATABASE_URL: {error}; run `broadcast database migrate`") from error
    except TRANSIENT as error:
        holders = "; ".join(map(str, await find_open(connection))) or "nobody any more"
        raise UnavailableError(
            f"another transaction is in the way ({error}). Open are: {holders}. Run the same command again when it "
            "has ended"
        ) from error
    except BrokenPipeError:
        raise  # whoever read our output has had enough
    except AWAY as error:
        raise UnavailableError(f"the database went away ({name_error(error)}): run the same command again") from error
    finally:
        connection.terminate()
