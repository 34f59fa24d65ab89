"""Alarms: a row that stays, a log line, a metric."""

import asyncpg
import structlog

from broadcast import metrics

log = structlog.get_logger(__name__)

LOST_TAIL = "kafka_lost_its_tail"
LOST_RECORDS = "kafka_lost_records"
SUM_GAP = "sum_gap"
QUEUED_PAST_EXPIRY = "queued_past_expiry"
QUEUED_WITHOUT_LAG = "queued_without_lag"

KINDS = (LOST_TAIL, LOST_RECORDS, SUM_GAP, QUEUED_PAST_EXPIRY, QUEUED_WITHOUT_LAG)


async def raise_alarm(connection: asyncpg.Connection, kind: str, subject: str, detail: str) -> bool:
    """Raise one alarm for this kind and subject (an alert, a partition), once; true if it is new."""
    new = await connection.fetchval(
        "INSERT INTO alarms (kind, subject, detail) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
        kind,
        subject,
        detail,
    )
    if new is not None:
        log.error("alarm", kind=kind, subject=subject, detail=detail)
    return new is not None


async def show_alarms(connection: asyncpg.Connection) -> None:
    """Set the metric to the number of alarms of each kind."""
    rows = await connection.fetch("SELECT kind, count(*) AS count FROM alarms GROUP BY kind")
    counts = {row["kind"]: row["count"] for row in rows}
    for kind in KINDS:
        metrics.alarms.labels(kind).set(counts.get(kind, 0))


async def is_trusting(connection: asyncpg.Connection) -> bool:
    """False from the day Kafka lost its tail: jobs of then may be done twice without a mark."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM alarms WHERE kind = $1)", LOST_TAIL)
