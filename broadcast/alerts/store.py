"""Alerts in PostgreSQL, as the planner knows them: one row each, and every event that touched it.

Whatever is written is `ON CONFLICT DO NOTHING` and read back, or guarded by the state it begins from: an event that
is read again after a crash finds what it did the first time, and produces the same. Everything commits synchronously,
because Kafka's position moves on right after.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from broadcast.alerts.publishing import digest_of
from broadcast.database import Connection
from broadcast.lifecycle import AlertState, Transition, next_state
from broadcast.routing import Simulation
from schemas.alert import Alert, AlertEvent, Reference, Status, write_alert
from schemas.lane import Lane


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One row of `alerts`. `simulated` and `control` are None until it is planned.

    `audience` and `chunks` are None until it is resolved. `finished`: all of it is expanded, and each recipient has an
    outcome.
    """

    alert_id: UUID
    state: AlertState
    lane: Lane
    status: Status
    groups: tuple[str, ...]
    event_offset: int
    digest: bytes
    actor: str
    expires_at: datetime
    accepted_at: datetime
    planned_at: datetime | None
    audience: int | None
    chunks: int | None
    finished: bool
    simulated: Simulation | None
    document: str
    control: bytes | None

    @property
    def alert(self) -> Alert:
        """The CAP content."""
        return Alert.model_validate_json(self.document)


@asynccontextmanager
async def durable_transaction(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction whose commit is on disk, whatever the server's default."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        yield connection


_COLUMNS = (
    "alert_id, state, lane, status, groups, event_offset, digest, actor, expires_at, accepted_at, planned_at,"
    " audience, chunks, expanded_at IS NOT NULL AND completed_at IS NOT NULL AS finished, simulated, document::text,"
    " control"
)


async def insert_and_lock(
    connection: Connection,
    event: AlertEvent,
    *,
    offset: int,
    lane: Lane,
    groups: Sequence[str],
    expires_at: datetime,
) -> StoredAlert:
    """Store a submitted alert as `accepted` unless its id is there; the row as it is now, locked."""
    alert = event.alert
    if alert is None:
        raise ValueError("a submitted event needs the alert")
    await connection.execute(
        """
        INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest,
                            groups, event_offset, actor, expires_at, accepted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (alert_id) DO NOTHING
        """,
        *(event.alert_id, AlertState.ACCEPTED.value, lane.value, alert.sender, alert.identifier, alert.sent),
        *(alert.status.value, alert.msg_type.value, write_alert(alert).decode(), digest_of(alert)),
        *(list(groups), offset, event.actor, expires_at, event.at),
    )
    stored = await lock_alert(connection, event.alert_id)
    if stored is None:
        raise LookupError(f"alert {event.alert_id} was inserted and is not there")
    return stored


async def lock_alert(connection: Connection, alert_id: UUID) -> StoredAlert | None:
    """The row of an alert, locked until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM alerts WHERE alert_id = $1 FOR UPDATE", alert_id)
    return None if row is None else _stored(row)


async def read_stored(connection: Connection, alert_id: UUID) -> StoredAlert | None:
    """The row of an alert; without a lock."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM alerts WHERE alert_id = $1", alert_id)
    return None if row is None else _stored(row)


class Earlier(NamedTuple):
    """What was stored before an alert came, and bears on it; as `Facts` has it."""

    namesake: UUID | None
    cancelled: bool
    replaced_by: Reference | None


async def find_earlier(connection: Connection, alert_id: UUID, alert: Alert, before: int) -> Earlier:
    """What events before the offset `before` did to an alert that was not known then, and its namesake; one question.

    `namesake` is another alert with the same sender, identifier and sent: the same alert under another id. One that was
    refused does not count, since nobody was sent it. `cancelled` says that an event cancelled this alert
    (`docs/cap.md`, L5). `replaced_by` is an Update of the same sender and CAP status that named this alert, and was
    sent.
    """
    row = await connection.fetchrow(
        """
        SELECT (SELECT alert_id FROM alerts
                WHERE sender = $2 AND identifier = $3 AND sent = $4 AND alert_id <> $1 AND state <> $6 LIMIT 1)
                   AS namesake,
               EXISTS (SELECT FROM alert_events WHERE alert_id = $1 AND event = $8 AND event_offset < $7) AS cancelled,
               replaced_by.*
        FROM (SELECT) AS one
             LEFT JOIN (
                 SELECT other.sender, other.identifier, other.sent
                 FROM alert_events AS event
                      JOIN alerts AS other ON other.sender = $2 AND other.event_offset = event.event_offset
                 WHERE event.alert_id = $1 AND event.event = $9 AND event.event_offset < $7
                       AND other.status = $5 AND other.alert_id <> $1 AND other.state <> $6
                 LIMIT 1
             ) AS replaced_by ON true
        """,
        *(alert_id, alert.sender, alert.identifier, alert.sent, alert.status.value, AlertState.REFUSED.value, before),
        *(Transition.CANCELLED.value, Transition.SUPERSEDED.value),
    )
    if row is None:
        raise LookupError("a question without a condition has one row")
    named = None
    if row["sender"] is not None:
        named = Reference(sender=row["sender"], identifier=row["identifier"], sent=row["sent"])
    return Earlier(row["namesake"], row["cancelled"], named)


async def record_event(
    connection: Connection,
    alert_id: UUID,
    offset: int,
    event: str,
    *,
    actor: str,
    at: datetime,
    reason: str | None = None,
) -> None:
    """Note that something happened to an alert because of the event at `offset`; once, however often it is read."""
    await connection.execute(
        """
        INSERT INTO alert_events (alert_id, event_offset, event, actor, reason, at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
        """,
        *(alert_id, offset, event, actor, reason, at),
    )


async def recorded_at(connection: Connection, alert_ids: Sequence[UUID], offset: int) -> set[tuple[UUID, str]]:
    """What the event at `offset` did to which of these alerts."""
    rows = await connection.fetch(
        "SELECT alert_id, event FROM alert_events WHERE alert_id = ANY ($1) AND event_offset = $2", alert_ids, offset
    )
    return {(row["alert_id"], row["event"]) for row in rows}


_INSTANTS = {
    Transition.PLANNED: "planned_at",
    Transition.APPROVED: "planned_at",
    Transition.EXPANDED: "expanded_at",
    Transition.CANCELLED: "stopped_at",
    Transition.SUPERSEDED: "stopped_at",
    Transition.FINISHED: "completed_at",
}
"""The column that keeps when it happened, where there is one; the first time counts."""


async def move_alert(
    connection: Connection,
    alert_id: UUID,
    state: AlertState,
    transition: Transition,
    *,
    at: datetime,
    reason: str | None = None,
    simulated: Simulation | None = None,
) -> AlertState:
    """Take an alert, whose row the caller has locked in `state`, to what follows; raises TransitionError.

    `simulated` says how much of its way is simulated; the first time counts.
    """
    following = next_state(state, transition)
    column = _INSTANTS.get(transition)
    instant = f", {column} = coalesce({column}, $5)" if column else ""
    await connection.execute(
        f"""
        UPDATE alerts SET state = $2, reason = coalesce($3, reason), simulated = coalesce(simulated, $4){instant}
        WHERE alert_id = $1
        """,
        *(alert_id, following.value, reason, None if simulated is None else simulated.value),
        *((at,) if column else ()),
    )
    return following


async def set_audience(
    connection: Connection, alert_id: UUID, *, audience: int, suppressed: int, chunks: int, chain: bytes | None
) -> None:
    """Keep what the expander found, before anything of it is sent; a second time changes nothing."""
    await connection.execute(
        """
        UPDATE alerts SET audience = $2, suppressed = $3, chunks = $4, chain = $5
        WHERE alert_id = $1 AND audience IS NULL
        """,
        *(alert_id, audience, suppressed, chunks, chain),
    )


async def keep_control(connection: Connection, alert_id: UUID, control: bytes) -> bytes:
    """Keep the control record of an alert whose row the caller has locked; the one that is kept: the first."""
    kept: bytes = await connection.fetchval(
        "UPDATE alerts SET control = coalesce(control, $2) WHERE alert_id = $1 RETURNING control", alert_id, control
    )
    return kept


def _stored(row: Any) -> StoredAlert:
    return StoredAlert(
        alert_id=row["alert_id"],
        state=AlertState(row["state"]),
        lane=Lane(row["lane"]),
        status=Status(row["status"]),
        groups=tuple(row["groups"]),
        event_offset=row["event_offset"],
        digest=row["digest"],
        actor=row["actor"],
        expires_at=row["expires_at"],
        accepted_at=row["accepted_at"],
        planned_at=row["planned_at"],
        audience=row["audience"],
        chunks=row["chunks"],
        finished=row["finished"],
        simulated=None if row["simulated"] is None else Simulation(row["simulated"]),
        document=row["document"],
        control=row["control"],
    )
