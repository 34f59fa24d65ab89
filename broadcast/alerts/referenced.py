"""The alerts that the references of an Update or a Cancel name, as PostgreSQL has them, and what replaced them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from broadcast.database import Connection
from broadcast.lifecycle import AlertState, Known, Successor, Transition
from schemas.alert import Reference, Status


async def lock_known(connection: Connection, references: Sequence[Reference]) -> list[Known]:
    """Those alerts that references name and that are here, locked. Their ids may come from an Idempotency-Key."""
    rows = await connection.fetch(
        """
        SELECT alert_id, alerts.sender, alerts.identifier, alerts.sent, state, status
        FROM alerts JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) AS named (sender, identifier, sent)
             USING (sender, identifier, sent)
        ORDER BY alert_id FOR UPDATE OF alerts
        """,
        [reference.sender for reference in references],
        [reference.identifier for reference in references],
        [reference.sent for reference in references],
    )
    superseded = [row["alert_id"] for row in rows if row["state"] == AlertState.SUPERSEDED]
    replaced_at = await _read_replaced_at(connection, superseded) if superseded else {}
    successors = await _read_successors(connection, superseded) if superseded else {}
    return [
        Known(
            alert_id=row["alert_id"],
            reference=Reference(sender=row["sender"], identifier=row["identifier"], sent=row["sent"]),
            state=AlertState(row["state"]),
            status=Status(row["status"]),
            replaced_at=replaced_at.get(row["alert_id"]),
            successors=tuple(successors.get(row["alert_id"], ())),
        )
        for row in rows
    ]


async def _read_replaced_at(connection: Connection, alert_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    # The event that superseded an alert is the one that submitted what replaced it.
    rows = await connection.fetch(
        """
        SELECT replaced.alert_id, max(other.sent) AS sent
        FROM alerts AS replaced
             JOIN alert_events AS event ON event.alert_id = replaced.alert_id AND event.event = $2
             JOIN alerts AS other ON other.sender = replaced.sender AND other.event_offset = event.event_offset
        WHERE replaced.alert_id = ANY ($1) AND other.alert_id <> replaced.alert_id GROUP BY replaced.alert_id
        """,
        *(alert_ids, Transition.SUPERSEDED.value),
    )
    return {row["alert_id"]: row["sent"] for row in rows}


async def _read_successors(connection: Connection, alert_ids: Sequence[UUID]) -> dict[UUID, list[Successor]]:
    # Without a lock: their states are for people to read, and whether one has just ended changes no other alert.
    rows = await connection.fetch(
        """
        WITH RECURSIVE line (named, alert_id) AS (
            SELECT id, id FROM unnest($1::uuid[]) AS id
            UNION
            SELECT line.named, other.alert_id
            FROM line JOIN alerts AS replaced ON replaced.alert_id = line.alert_id AND replaced.state = $3
                 JOIN alert_events AS event ON event.alert_id = replaced.alert_id AND event.event = $2
                 JOIN alerts AS other ON other.sender = replaced.sender AND other.event_offset = event.event_offset
            WHERE other.alert_id <> replaced.alert_id AND other.status = replaced.status
        )
        SELECT line.named, alert_id, sender, identifier, sent, state, stopped_at IS NOT NULL AS stopped
        FROM line JOIN alerts USING (alert_id) WHERE state <> $3 ORDER BY sent, alert_id
        """,
        *(alert_ids, Transition.SUPERSEDED.value, AlertState.SUPERSEDED.value),
    )
    found: dict[UUID, list[Successor]] = {}
    for row in rows:
        reference = Reference(sender=row["sender"], identifier=row["identifier"], sent=row["sent"])
        successor = Successor(row["alert_id"], reference, AlertState(row["state"]), stopped=row["stopped"])
        found.setdefault(row["named"], []).append(successor)
    return found
