"""The row of a running process in PostgreSQL: written again and again, so that others see when it is silent."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from broadcast.database.pool import AWAY, Connection, connect
from broadcast.retry import Backoff
from broadcast.settings import Settings

BEAT_SECONDS: Final = 2.0
"""Between two writes of a process."""

SILENT_SECONDS: Final = 10.0
"""A process that has written nothing for so long is silent: frozen, dead, or cut off from PostgreSQL."""

WRITE_SECONDS: Final = 5.0
"""For one write; a server that takes longer is as good as away."""

LEAVE_SECONDS: Final = 1.0
"""To remove the row at a stop; else the process counts as silent."""

_WRITE = """
INSERT INTO processes (stage, slot, host, pid, started_at, seen_at)
VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp())
ON CONFLICT (stage, slot) DO UPDATE SET host = excluded.host, pid = excluded.pid, seen_at = excluded.seen_at,
    started_at = CASE WHEN (processes.host, processes.pid) = (excluded.host, excluded.pid)
        THEN processes.started_at ELSE excluded.started_at END
"""

_REMOVE = "DELETE FROM processes WHERE stage = $1 AND slot = $2 AND host = $3 AND pid = $4"

UNWRITTEN: tuple[type[BaseException], ...] = (*AWAY, asyncpg.PostgresError)
"""What keeps the row from being written for now. Nothing is logged: who needs the server does that."""


class ProcessRow:
    """The row of this process, by stage and slot. A process that starts in the slot of another takes its row over."""

    def __init__(self, settings: Settings, stage: str) -> None:
        # Senders of different routes may have the same slot.
        route = f"{settings.sender_route} " if stage == "sender" and settings.sender_route else ""
        self._settings: Final = settings
        self._stage: Final = stage
        self._key: Final = stage, f"{route}{settings.slot}", socket.gethostname(), os.getpid()

    async def keep(self) -> None:
        """Write until cancelled, however long PostgreSQL is away."""
        pause = Backoff()
        while True:
            with suppress(*UNWRITTEN):
                connection = await self._connect()
                try:
                    while True:
                        await self.write(connection)
                        pause.reset()
                        await asyncio.sleep(BEAT_SECONDS)
                finally:
                    connection.terminate()
            await pause.sleep()

    async def write(self, connection: Connection) -> None:
        """Say once that this process is alive."""
        await connection.execute(_WRITE, *self._key)

    async def remove(self) -> None:
        """Remove the row, unless another process has taken it over; for at most `LEAVE_SECONDS`."""
        with suppress(*UNWRITTEN):
            async with asyncio.timeout(LEAVE_SECONDS):
                connection = await self._connect()
                try:
                    await connection.execute(_REMOVE, *self._key)
                finally:
                    connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        return await connect(self._settings, self._stage, command_timeout_seconds=WRITE_SECONDS)


@asynccontextmanager
async def keep_process_row(settings: Settings, stage: str) -> AsyncIterator[None]:
    """Have the row of this process written while the context is open. A process that fails leaves it behind."""
    row = ProcessRow(settings, stage)
    keeping = asyncio.create_task(row.keep(), name="process row")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,), timeout=LEAVE_SECONDS)
    await row.remove()
