"""Alarms: a row that stays, a log line, a metric. Open until somebody clears them, or their cause has gone.

Who has a connection uses `raise_alarm`. Who must not wait for PostgreSQL, as a sender, holds an `Alarms` from
`keep_alarms` and calls its `raise_soon`, and `end_soon` where it sees that the cause has gone.
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
RECEIPTS_UNMATCHED = "receipts_unmatched"

JOBS_FAILED = "jobs_failed"
JOBS_DELETED_UNSENT = "jobs_deleted_unsent"
JOBS_LOST_THEIR_TAIL = "jobs_lost_their_tail"
CONTROL_LOST_ITS_TAIL = "control_lost_its_tail"
CONTROL_FULL = "control_full"
BIND_DOWN = "bind_down"
SESSION_MUTE = "session_mute"
ACCOUNT_STOPPED = "account_stopped"
ACCOUNT_THROTTLED = "account_throttled"
ACCOUNT_LATE = "account_late"
ROUTES_REFUSED = "routes_refused"
MESSAGE_REFUSED = "message_refused"
ACCOUNT_CONTRADICTS = "account_contradicts"

ACCOUNT_KINDS = (BIND_DOWN, SESSION_MUTE, ACCOUNT_STOPPED)
"""What keeps an account from being used; the sender ends these alarms itself when the cause has gone."""

SENDER_KINDS = (
    JOBS_FAILED,
    JOBS_DELETED_UNSENT,
    JOBS_LOST_THEIR_TAIL,
    CONTROL_LOST_ITS_TAIL,
    CONTROL_FULL,
    *ACCOUNT_KINDS,
    ACCOUNT_THROTTLED,
    ACCOUNT_LATE,
    ROUTES_REFUSED,
    MESSAGE_REFUSED,
    ACCOUNT_CONTRADICTS,
)
KINDS = (
    LOST_TAIL,
    LOST_RECORDS,
    SUM_GAP,
    QUEUED_PAST_EXPIRY,
    QUEUED_WITHOUT_LAG,
    EVIDENCE_FAULT,
    RECEIPTS_UNMATCHED,
    *SENDER_KINDS,
)

RUNBOOKS: Final = "docs/how-to/alarms.md"
"""The page that says of each kind what to do, under a heading of its name."""

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

ENDED_BY: Final = "sender"
"""Who has cleared an alarm whose cause has gone."""


class Alarm(NamedTuple):
    """One alarm; `subject` is an alert, a partition, or an account of a sender."""

    id: int
    kind: str
    subject: str
    detail: str
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None


def runbook_of(kind: str) -> str:
    """Where the documents say what to do about an alarm of this kind."""
    return f"{RUNBOOKS}#{kind}"


async def raise_alarm(connection: Connection, kind: str, subject: str, detail: str) -> bool:
    """Raise one alarm for this kind and subject, once while it is open; true if it is new."""
    new = await _insert(connection, kind, storable(subject), storable(detail))
    if new:
        log.error("alarm_raised", kind=kind, subject=subject, detail=detail)
    return new


async def renew_alarm(connection: Connection, kind: str, subject: str, detail: str) -> None:
    """Raise an alarm, or, if it is open, give it this detail."""
    if not await raise_alarm(connection, kind, subject, detail):
        await _apply(connection, kind, storable(subject), _Change(storable(detail), renew=True))


class _Change(NamedTuple):
    # What a row is to be: open with this detail, or cleared (None). `renew` replaces the detail of one that is open.
    detail: str | None
    renew: bool = False


class Alarms:
    """A sender's alarms: log line and metric at once, rows as soon as PostgreSQL takes them. Made by `keep_alarms`."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._waiting: Final[dict[tuple[str, str], _Change]] = {}
        self._raised: Final = asyncio.Event()

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
        self._want(kind, subject, _Change(storable(detail), renew=replace))

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        """Change the detail of an alarm that this process has raised, without a log line.

        One that somebody has cleared meanwhile is open again.
        """
        self._want(kind, subject, _Change(storable(detail), renew=True))

    def end_soon(self, kind: str, subject: str) -> None:
        """Clear the open alarm of this kind and subject, if there is one: its cause has gone."""
        self._want(kind, subject, _Change(None))

    def _want(self, kind: str, subject: str, change: _Change) -> None:
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
            connection = await connect(self._settings)
            try:
                while self._waiting:
                    (kind, subject), change = next(iter(self._waiting.items()))
                    try:
                        await _apply(connection, kind, subject, change)
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


async def list_alarms(connection: Connection, *, cleared: bool = False) -> list[Alarm]:
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


async def _apply(connection: Connection, kind: str, subject: str, change: _Change) -> None:
    if change.detail is None:
        await connection.execute(
            "UPDATE alarms SET cleared_at = now(), cleared_by = $3 "
            "WHERE kind = $1 AND subject = $2 AND cleared_at IS NULL",
            kind,
            subject,
            ENDED_BY,
        )
    elif change.renew:
        await connection.execute(
            "INSERT INTO alarms (kind, subject, detail) VALUES ($1, $2, $3) "
            "ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO UPDATE SET detail = excluded.detail",
            kind,
            subject,
            change.detail,
        )
    else:
        await _insert(connection, kind, subject, change.detail)
