"""What PostgreSQL knows of alerts: one, a page of them, what happened to each."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from broadcast.alerts.unplanned import Listed
from broadcast.audit.codes import REACHED_COUNT
from broadcast.database import Connection
from broadcast.errors import InputError
from broadcast.lifecycle import AlertState
from broadcast.routing import Simulation

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_COLUMNS = f"""
    alert_id, state, reason, lane, sender, identifier, sent, status, msg_type, groups, actor, expires_at, accepted_at,
    planned_at, expanded_at, stopped_at, completed_at, audience, suppressed, simulated,
    CASE WHEN audience IS NOT NULL THEN (
        SELECT {REACHED_COUNT} FROM counters c WHERE c.alert_id = a.alert_id
    ) END AS reached
"""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert without its content. `audience` is None until the expander has stored it; the suppressed are in it.

    `reached` are the recipients with a receipt that says delivered, as far as they are recorded; none if all of its way
    is simulated. `simulated` is None until it is planned.
    """

    alert_id: UUID
    state: AlertState
    reason: str | None
    lane: str
    sender: str
    identifier: str
    sent: datetime
    status: str
    msg_type: str
    groups: Sequence[str]
    actor: str
    expires_at: datetime
    accepted_at: datetime
    planned_at: datetime | None
    expanded_at: datetime | None
    stopped_at: datetime | None
    completed_at: datetime | None
    audience: int | None
    suppressed: int | None
    reached: int | None
    simulated: Simulation | None


@dataclass(frozen=True, slots=True)
class AlertEventRow:
    """Something that happened to an alert, by whom."""

    event: str
    actor: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, the newest first; `next_cursor` is None on the last page."""

    alerts: list[AlertRow]
    next_cursor: str | None


async def find_alert(connection: Connection, alert_id: UUID) -> AlertRow | None:
    """One alert, or None."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM alerts a WHERE alert_id = $1", alert_id)
    return _alert_of(row) if row is not None else None


async def find_state(connection: Connection, alert_id: UUID) -> AlertState | None:
    """The state of one alert, or None."""
    state = await connection.fetchval("SELECT state FROM alerts WHERE alert_id = $1", alert_id)
    return AlertState(state) if state is not None else None


async def find_stored(connection: Connection, alert_ids: Sequence[UUID]) -> list[UUID]:
    """Those of some alerts that are stored."""
    rows = await connection.fetch("SELECT alert_id FROM alerts WHERE alert_id = ANY ($1::uuid[])", alert_ids)
    return [row["alert_id"] for row in rows]


async def find_digest(connection: Connection, alert_id: UUID) -> bytes | None:
    """The digest of a stored alert (`publishing.digest_of`), or None."""
    digest: bytes | None = await connection.fetchval("SELECT digest FROM alerts WHERE alert_id = $1", alert_id)
    return digest


async def read_document(connection: Connection, alert_id: UUID) -> bytes | None:
    """The JSON of an alert, or None."""
    document = await connection.fetchval("SELECT document::text FROM alerts WHERE alert_id = $1", alert_id)
    return document.encode() if document is not None else None


async def list_events(connection: Connection, alert_id: UUID) -> list[AlertEventRow]:
    """What happened to an alert, in order."""
    rows = await connection.fetch(
        "SELECT event, actor, reason, at FROM alert_events WHERE alert_id = $1 ORDER BY event_offset, at", alert_id
    )
    return [AlertEventRow(**row) for row in rows]


async def list_alerts(
    connection: Connection, *, limit: int, states: Sequence[AlertState] = (), cursor: str | None = None
) -> AlertPage:
    """A page of alerts, the newest first, in `states` (all if empty). InputError for a cursor that is not ours."""
    accepted_at, alert_id = read_cursor(cursor) if cursor else (None, None)
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM alerts a
        WHERE ($1::timestamptz IS NULL OR accepted_at < $1 OR (accepted_at = $1 AND alert_id > $2))
          AND (cardinality($3::text[]) = 0 OR state = ANY ($3))
        ORDER BY accepted_at DESC, alert_id LIMIT $4
        """,
        accepted_at,
        alert_id,
        [state.value for state in states],
        limit + 1,
    )
    alerts = [_alert_of(row) for row in rows[:limit]]
    return AlertPage(alerts, write_cursor(alerts[-1]) if len(rows) > limit else None)


def write_cursor(alert: Listed) -> str:
    """Where the page after this alert begins."""
    place = json.dumps([(alert.accepted_at or EPOCH).isoformat(), str(alert.alert_id)])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """The place that `write_cursor` wrote; InputError for anything else."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        accepted_at, alert_id = datetime.fromisoformat(place[0]), UUID(place[1])
        if accepted_at.tzinfo is None:
            raise ValueError(f"{accepted_at} has no zone")
        return accepted_at.astimezone(UTC), alert_id
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        message = "is not a cursor of this list; take next_cursor of the page before, or leave it out"
        raise InputError(f"cursor: {message}", (("cursor", "cursor", message),)) from None


def _alert_of(row: asyncpg.Record) -> AlertRow:
    simulated = None if row["simulated"] is None else Simulation(row["simulated"])
    return AlertRow(**(dict(row) | {"state": AlertState(row["state"]), "simulated": simulated}))
