"""A sender's alarms, which must not wait for PostgreSQL: kept until they are rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
import structlog

from broadcast import metrics
from broadcast.alarms.alarm_rows import Change, apply_change, end_absent, storable
from broadcast.database.pool import AWAY, connect
from broadcast.retry import Backoff, retry
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

UNWRITTEN: tuple[type[BaseException], ...] = (*AWAY, asyncpg.PostgresError)
"""What keeps a row from being written for now: no server, or one that is not in order yet."""

WAITING_MAX: Final = 1_000
"""Most alarms that wait for PostgreSQL; of more there are only the log line and the metric."""

WRITE_SECONDS: Final = 10.0
"""Longest time of one attempt to write what waits."""

BETWEEN_WRITES_SECONDS: Final = 1.0
"""Between two attempts, each of which opens a connection."""

LONGEST_PAUSE_SECONDS: Final = 5.0

LEAVE_SECONDS: Final = 2.0
"""For what still waits when the process ends; the log has it too."""


class Alarms:
    """A sender's alarms: log line and metric at once, rows as soon as PostgreSQL takes them. Made by `keep_alarms`."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._waiting: Final[dict[tuple[str, str], Change]] = {}
        self._raised: Final = asyncio.Event()
        self._present: tuple[str, Sequence[str]] | None = None

    @property
    def waiting(self) -> int:
        """How many are not rows yet."""
        return len(self._waiting)

    def raise_soon(self, kind: str, subject: str, detail: str, *, replace: bool = False) -> None:
        """Raise an alarm without waiting. `subject` is what it is about, `detail` says why and what to do.

        Neither holds a phone number. A row that is open already for this kind and subject stays as it is, or with
        `replace` gets this detail: for a cause that may have become another one.
        """
        log.error("alarm_raised", kind=kind, subject=subject, detail=detail)
        metrics.sender_alarms.labels(kind).inc()
        self._want(kind, subject, Change(storable(detail), renew=replace))

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        """Change the detail of an alarm that this process has raised, without a log line.

        One that somebody has cleared meanwhile is open again.
        """
        self._want(kind, subject, Change(storable(detail), renew=True))

    def end_soon(self, kind: str, subject: str) -> None:
        """Clear the open alarm of this kind and subject, if there is one: its cause has gone."""
        self._want(kind, subject, Change(None))

    def end_absent_soon(self, slot: str, accounts: Sequence[str]) -> None:
        """Clear the open alarms of this slot about accounts that are not among these, which nobody else ends.

        `accounts` are all of the routes file, also those that other processes send.
        """
        self._present = slot, accounts
        self._raised.set()

    def _want(self, kind: str, subject: str, change: Change) -> None:
        key = kind, storable(subject)
        waiting = self._waiting.get(key)
        if waiting is None and len(self._waiting) >= WAITING_MAX:
            return
        if waiting is None or change.renew or waiting.detail is None or change.detail is None:
            self._waiting[key] = change
        self._raised.set()

    async def run(self) -> None:
        """Write rows until cancelled, however long PostgreSQL is away."""
        while True:
            await self._raised.wait()
            await retry(
                "alarms",
                self.write,
                service="postgresql",
                away=UNWRITTEN,
                pause=Backoff(longest_seconds=LONGEST_PAUSE_SECONDS),
            )
            await asyncio.sleep(BETWEEN_WRITES_SECONDS)

    async def write(self) -> None:
        """Write the rows that wait; raises one of `UNWRITTEN`, and then the rest still waits."""
        async with asyncio.timeout(WRITE_SECONDS):
            connection = await connect(self._settings, "sender")
            try:
                if self._present is not None:
                    present = self._present
                    await end_absent(connection, *present)
                    if self._present is present:
                        self._present = None
                while self._waiting:
                    (kind, subject), change = next(iter(self._waiting.items()))
                    try:
                        await apply_change(connection, kind, subject, change)
                    except asyncpg.DataError as error:  # never a row: it must not hold up those behind it
                        log.error("alarm_row_refused", kind=kind, error=repr(error))  # noqa: TRY400
                    if self._waiting[kind, subject] is change:
                        del self._waiting[kind, subject]
                self._raised.clear()
            finally:
                connection.terminate()


@asynccontextmanager
async def keep_alarms(settings: Settings) -> AsyncIterator[Alarms]:
    """Alarms whose rows are written while the context is open, and for `LEAVE_SECONDS` at its end."""
    alarms = Alarms(settings)
    writing = asyncio.create_task(alarms.run(), name="alarms")
    try:
        yield alarms
    finally:
        writing.cancel()
        await asyncio.wait((writing,))
        if alarms.waiting:
            with suppress(*UNWRITTEN):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await alarms.write()
