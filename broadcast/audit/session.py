"""The recorder's PostgreSQL session."""

import asyncpg

from broadcast.database.pool import CONNECT_TIMEOUT_SECONDS
from broadcast.settings import Settings

SERVER_SETTINGS = {
    "application_name": "tocsin recorder",
    # The evidence is the offset store: what a crash of the server takes back is read from Kafka again.
    "synchronous_commit": "off",
    # A join of a batch with millions of attempts must walk the index, whatever the statistics say.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # Another recorder's row is held for one of its transactions, not longer.
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}

COMMAND_TIMEOUT_SECONDS = 60.0
"""One statement of a batch takes a tenth of a second; a server that takes this long is as good as away."""


async def open_session(settings: Settings) -> asyncpg.Connection:
    """A connection with the settings that the recorder's statements rest on; raises one of `database.pool.AWAY`."""
    return await asyncpg.connect(
        settings.database_url.get_secret_value(),
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings=SERVER_SETTINGS,
    )
