"""The recorder's PostgreSQL session."""

import asyncpg

from broadcast.database.pool import COMMAND_TIMEOUT_SECONDS, connect
from broadcast.settings import Settings

SERVER_SETTINGS = {
    # The evidence is the offset store: what a crash of the server takes back is read from Kafka again.
    "synchronous_commit": "off",
    # A join of a batch with millions of attempts must walk the index, whatever the statistics say.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


async def open_session(settings: Settings) -> asyncpg.Connection:
    """A connection with the settings that the recorder's statements rest on; raises one of `database.pool.AWAY`."""
    return await connect(settings, "recorder", command_timeout_seconds=COMMAND_TIMEOUT_SECONDS, more=SERVER_SETTINGS)
