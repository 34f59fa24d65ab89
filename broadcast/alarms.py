"""Alarms: a row that stays, a log line, a metric. Open until somebody clears them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
import structlog

from broadcast import metrics
from broadcast.database import Connection
from broadcast.errors import InputError

log = structlog.get_logger(__name__)

LOST_TAIL = "kafka_lost_its_tail"
LOST_RECORDS = "kafka_lost_records"
SUM_GAP = "sum_gap"
QUEUED_PAST_EXPIRY = "queued_past_expiry"
QUEUED_WITHOUT_LAG = "queued_without_lag"
EVIDENCE_FAULT = "evidence_fault"

KINDS = (LOST_TAIL, LOST_RECORDS, SUM_GAP, QUEUED_PAST_EXPIRY, QUEUED_WITHOUT_LAG, EVIDENCE_FAULT)


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
    new = await connection.fetchval(
        "INSERT INTO alarms (kind, subject, detail) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
        kind,
        subject,
        detail,
    )
    if new is not None:
        log.error("alarm", kind=kind, subject=subject, detail=detail)
    return new is not None


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


async def is_trusting(connection: asyncpg.Connection) -> bool:
    """False from the day Kafka lost its tail, cleared or not: jobs of then may be done twice without a mark."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM alarms WHERE kind = $1)", LOST_TAIL)
