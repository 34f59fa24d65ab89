"""The table of alarms: raised, renewed, cleared, listed, counted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import structlog

from broadcast import metrics
from broadcast.alarms.kinds import KINDS, LOST_TAIL, PER_ACCOUNT_KINDS
from broadcast.database.pool import Connection
from broadcast.errors import InputError
from broadcast.logs import mask_numbers

log = structlog.get_logger(__name__)

DETAIL_LENGTH_MAX: Final = 2_000

BY_SENDER: Final = "sender"
BY_RECORDER: Final = "recorder"
"""Who has cleared an alarm whose cause has gone, as `cleared_by` has it."""


class Alarm(NamedTuple):
    """One alarm; `subject` is an alert, a partition, or an account of a sender."""

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


async def renew_alarm(connection: Connection, kind: str, subject: str, detail: str) -> None:
    """Raise an alarm, or, if it is open, give it this detail."""
    if not await raise_alarm(connection, kind, subject, detail):
        await apply_change(connection, kind, storable(subject), Change(storable(detail), renew=True))


async def open_subjects(connection: Connection, kind: str) -> set[str]:
    """The subjects of the open alarms of one kind."""
    rows = await connection.fetch("SELECT subject FROM alarms WHERE kind = $1 AND cleared_at IS NULL", kind)
    return {row["subject"] for row in rows}


async def end_alarm(connection: Connection, kind: str, subject: str, by: str) -> None:
    """Clear the open alarm of this kind and subject, if there is one: its cause has gone."""
    await connection.execute(
        "UPDATE alarms SET cleared_at = now(), cleared_by = $3 WHERE kind = $1 AND subject = $2 AND cleared_at IS NULL",
        kind,
        storable(subject),
        by,
    )


class Change(NamedTuple):
    """What a row is to be: open with this detail, or cleared (None). `renew` replaces the detail of an open one."""

    detail: str | None
    renew: bool = False


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


async def end_absent(connection: asyncpg.Connection, slot: str, accounts: Sequence[str]) -> None:
    """Clear the open alarms that a sender of this slot raised about accounts other than these."""
    await connection.execute(
        """
        UPDATE alarms SET cleared_at = now(), cleared_by = $4
        WHERE cleared_at IS NULL AND kind = ANY ($1) AND right(subject, length($2)) = $2 AND subject <> ALL ($3)
        """,
        PER_ACCOUNT_KINDS,
        storable(f", sender {slot}"),
        [storable(f"{account}, sender {slot}") for account in accounts],
        BY_SENDER,
    )


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


async def apply_change(connection: Connection, kind: str, subject: str, change: Change) -> None:
    """Make the row of this kind and subject what it is to be."""
    if change.detail is None:
        await end_alarm(connection, kind, subject, BY_SENDER)
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
