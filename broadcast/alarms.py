"""Alarms: a row that stays, a log line, a metric. Open until somebody clears them.

Who has a connection uses `raise_alarm`. Who must not wait for PostgreSQL, as a sender, holds an `Alarms` from
`keep_alarms` and calls its `raise_soon`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import structlog

from broadcast import metrics
from broadcast.database.pool import AWAY, Connection, connect
from broadcast.errors import InputError
from broadcast.logs import mask_numbers
from broadcast.retry import Backoff, retry
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

LOST_TAIL = "kafka_lost_its_tail"
LOST_RECORDS = "kafka_lost_records"
SUM_GAP = "sum_gap"
QUEUED_PAST_EXPIRY = "queued_past_expiry"
QUEUED_WITHOUT_LAG = "queued_without_lag"
EVIDENCE_FAULT = "evidence_fault"

JOBS_FAILED = "jobs_failed"
JOBS_DELETED_UNSENT = "jobs_deleted_unsent"
JOBS_LOST_THEIR_TAIL = "jobs_lost_their_tail"
CONTROL_LOST_ITS_TAIL = "control_lost_its_tail"

SENDER_KINDS = (JOBS_FAILED, JOBS_DELETED_UNSENT, JOBS_LOST_THEIR_TAIL, CONTROL_LOST_ITS_TAIL)
KINDS = (
    LOST_TAIL,
    LOST_RECORDS,
    SUM_GAP,
    QUEUED_PAST_EXPIRY,
    QUEUED_WITHOUT_LAG,
    EVIDENCE_FAULT,
    *SENDER_KINDS,
)

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

DETAIL_LENGTH_MAX: Final = 2_000


class Alarm(NamedTuple):
    """One alarm; `subject` is an alert or a partition."""

    id: int
    kind: str
    subject: str
    detail: str
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None


async def raise_alarm(connection: Connection, kind: str, subject: str, detail: str) -> bool:
    """Raise one alarm for this kind and subject, once while it is open; true if it is new."""
    new = await _insert(connection, kind, storable(subject), storable(detail))
    if new:
        log.error("alarm_raised", kind=kind, subject=subject, detail=detail)
    return new


class Alarms:
    """A sender's alarms: log line and metric at once, rows as soon as PostgreSQL takes them. Made by `keep_alarms`."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._waiting: Final[dict[tuple[str, str], str]] = {}
        self._raised: Final = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many are not rows yet."""
        return len(self._waiting)

    def raise_soon(self, kind: str, subject: str, detail: str) -> None:
        """Raise an alarm without waiting. `subject` is an alert or a partition, `detail` says why and what to do.

        Neither holds a phone number. A row that is open already for this kind and subject stays as it is.
        """
        log.error("alarm_raised", kind=kind, subject=subject, detail=detail)
        metrics.sender_alarms.labels(kind).inc()
        if len(self._waiting) < WAITING_MAX:
            self._waiting.setdefault((kind, storable(subject)), storable(detail))
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
            connection = await connect(self._settings)
            try:
                while self._waiting:
                    (kind, subject), detail = next(iter(self._waiting.items()))
                    try:
                        await _insert(connection, kind, subject, detail)
                    except asyncpg.DataError as error:  # never a row: it must not hold up those behind it
                        log.error("alarm_row_refused", kind=kind, error=repr(error))  # noqa: TRY400
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


async def list_alarms(connection: asyncpg.Connection, *, cleared: bool = False) -> list[Alarm]:
    """The open alarms, oldest first; with `cleared` all that ever were."""
    rows = await connection.fetch(
        "SELECT id, kind, subject, detail, raised_at, cleared_at, cleared_by FROM alarms "
        "WHERE cleared_at IS NULL OR $1 ORDER BY id",
        cleared,
    )
    return [Alarm(*row) for row in rows]


async def clear_alarms(connection: asyncpg.Connection, ids: Sequence[int], by: str) -> None:
    """Clear these open alarms, all or none; InputError names those that are not open.

    What still holds is raised anew by whoever watches it.
    """
    async with connection.transaction():
        rows = await connection.fetch(
            "UPDATE alarms SET cleared_at = now(), cleared_by = $2 "
            "WHERE id = ANY ($1::bigint[]) AND cleared_at IS NULL RETURNING id",
            ids,
            by,
        )
        missing = sorted(set(ids) - {row["id"] for row in rows})
        if missing:
            raise InputError(
                f"alarm {', '.join(map(str, missing))}: not open, nothing was cleared; `broadcast alarms list` shows "
                "those that are"
            )


async def show_alarms(connection: asyncpg.Connection) -> None:
    """Set the metric to the number of open alarms of each kind."""
    rows = await connection.fetch("SELECT kind, count(*) AS count FROM alarms WHERE cleared_at IS NULL GROUP BY kind")
    counts = {row["kind"]: row["count"] for row in rows}
    for kind in KINDS:
        metrics.alarms.labels(kind).set(counts.get(kind, 0))


async def is_log_intact(connection: asyncpg.Connection) -> bool:
    """False once Kafka has lost its tail, even after the alarm is cleared: copies may lack a mark."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM alarms WHERE kind = $1)", LOST_TAIL)


def storable(text: str) -> str:
    """The text as a row may hold it: numbers masked, no NUL, only UTF-8, cut to `DETAIL_LENGTH_MAX`."""
    return mask_numbers(text.encode(errors="replace").decode().replace("\0", ""))[:DETAIL_LENGTH_MAX]


async def _insert(connection: Connection, kind: str, subject: str, detail: str) -> bool:
    new = await connection.fetchval(
        "INSERT INTO alarms (kind, subject, detail) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
        kind,
        subject,
        detail,
    )
    return new is not None
