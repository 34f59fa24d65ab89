"""What one process of several does, held as a row with an end: who freezes or dies loses it."""

import asyncio
import os
import socket
from typing import Final
from uuid import uuid4

from broadcast.database.pool import Connection
from broadcast.database.server_settings import application_name
from broadcast.settings import Settings

RELEASE_SECONDS: Final = 1.0
"""To give the lease up at a stop; else it ends by itself."""

_TAKE = """
INSERT INTO leases (name, holder, taken_at, ends_at)
VALUES ($1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at,
    taken_at = CASE WHEN leases.holder = excluded.holder THEN leases.taken_at ELSE excluded.taken_at END
WHERE leases.holder = excluded.holder OR leases.ends_at < clock_timestamp()
RETURNING true
"""


class LeaseRow:
    """One process's claim to a lease. Its work must do no harm if a holder that was frozen goes on with it."""

    def __init__(self, name: str, stage: str, settings: Settings) -> None:
        self.name: Final = name
        self.holder: Final = (
            f"{application_name(stage, settings.slot)} on {socket.gethostname()}, pid {os.getpid()}, {uuid4().hex[:8]}"
        )

    async def take(self, connection: Connection, seconds: float) -> bool:
        """Take or renew the lease for so long, by PostgreSQL's clock; false while another process has it.

        One statement, which commits by itself.
        """
        return bool(await connection.fetchval(_TAKE, self.name, self.holder, seconds))

    async def release(self, connection: Connection) -> None:
        """Give the lease up within `RELEASE_SECONDS`, if it is this process's: another one may take it at once.

        Raises nothing: it is for a task that is being cancelled.
        """
        deletion = connection.execute("DELETE FROM leases WHERE name = $1 AND holder = $2", self.name, self.holder)
        await asyncio.wait([asyncio.ensure_future(deletion)], timeout=RELEASE_SECONDS)
