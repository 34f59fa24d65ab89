"""What happened to one recipient of one alert, read from the evidence."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from broadcast.audience.chunks import read_reasons
from broadcast.audit.errors import UnknownAlertError
from broadcast.audit.evidence.chain import RawRecord, unpack
from broadcast.audit.message_key import message_key
from broadcast.audit.receipt_owner import find_owners
from broadcast.clock import instant_of
from broadcast.database import Connection
from broadcast.kafka.batches import UNREADABLE
from broadcast.lifecycle import Transition
from schemas.receipt import Receipt
from schemas.status import Status

PLANNED: Final = Transition.PLANNED.value
"""The event of an alert that says whether it reaches phones."""

_read_status = msgspec.json.Decoder(Status).decode
_read_receipt = msgspec.json.Decoder(Receipt).decode


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: `kind` is alert, audience, status or receipt.

    `facts` say what, in the words of the record. `source` names the evidence: topic, partition, offset, epoch, segment
    and its digest; `raw` is the record as Kafka had it.
    """

    at: datetime
    kind: str
    facts: dict[str, Any]
    source: dict[str, Any] = field(default_factory=dict)
    raw: str = ""


async def history(connection: Connection, alert_id: UUID, recipient_id: int) -> list[Event]:
    """Everything known of one recipient of one alert, oldest first; raises `UnknownAlertError`."""
    alert = await connection.fetchrow(
        "SELECT accepted_at, expanded_at, simulated FROM alerts WHERE alert_id = $1", alert_id
    )
    if alert is None:
        raise UnknownAlertError(alert_id)
    events = [
        Event(
            row["at"],
            "alert",
            {"event": row["event"], "actor": row["actor"]}
            | ({"reason": row["reason"]} if row["reason"] else {})
            | ({"simulated": alert["simulated"]} if alert["simulated"] and row["event"] == PLANNED else {}),
        )
        for row in await connection.fetch(
            "SELECT event, actor, reason, at FROM alert_events WHERE alert_id = $1", alert_id
        )
    ]
    events += await _membership(connection, alert_id, recipient_id, alert["expanded_at"] or alert["accepted_at"])
    rows = await connection.fetch(
        "SELECT evidence_id, message_key, number_hash, receipt_evidence FROM attempts "
        "WHERE alert_id = $1 AND recipient_id = $2",
        alert_id,
        recipient_id,
    )
    events += await _statuses(connection, alert_id, recipient_id, {row["evidence_id"] for row in rows})
    wanted: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        for segment in row["receipt_evidence"] or ():
            wanted[segment].add(row["message_key"])
    events += await _receipts(connection, (alert_id, recipient_id), wanted)
    return sorted(events, key=lambda event: event.at)


async def _membership(connection: Connection, alert_id: UUID, recipient_id: int, at: datetime) -> list[Event]:
    row = await connection.fetchrow(
        "SELECT chunk, digest, chain, suppressed FROM chunks "
        "WHERE alert_id = $1 AND $2 BETWEEN first_id AND last_id AND $2 = ANY (recipients)",
        alert_id,
        recipient_id,
    )
    if row is None:
        return []
    facts: dict[str, Any] = {"chunk": row["chunk"]}
    reason = read_reasons(row["suppressed"]).get(recipient_id)
    if reason is not None:
        facts["suppressed"] = reason
    return [Event(at, "audience", facts, {"digest": row["digest"].hex(), "chain": row["chain"].hex()})]


async def _statuses(connection: Connection, alert_id: UUID, recipient_id: int, segments: Iterable[int]) -> list[Event]:
    events = []
    needle = str(recipient_id).encode()
    for segment in sorted(segments):
        for record, source in await _records(connection, segment):
            if record.value is None or needle not in record.value:
                continue
            try:
                status = _read_status(record.value)
            except UNREADABLE:
                continue
            if status.recipient_id == recipient_id and status.alert_id.lower() == str(alert_id):
                events.append(_event("status", status.at or record.timestamp, status, record, source))
    return events


async def _receipts(connection: Connection, person: tuple[UUID, int], wanted: dict[int, set[int]]) -> list[Event]:
    events = []
    for segment, keys in sorted(wanted.items()):
        by_match: dict[tuple[int, int], list[tuple[Receipt, RawRecord, dict[str, Any]]]] = defaultdict(list)
        for record, source in await _records(connection, segment):
            try:
                receipt = _read_receipt(record.value or b"")
            except UNREADABLE:
                continue
            key = message_key(receipt.account, receipt.message_id)
            if key in keys:
                by_match[key, receipt.number_hash].append((receipt, record, source))
        matches = [(*match, all(one.by_text for one, *_ in several)) for match, several in by_match.items()]
        owners = await find_owners(connection, segment, matches)
        for several, owner in zip(by_match.values(), owners, strict=True):
            if owner is None or (owner["alert_id"], owner["recipient_id"]) != person:
                # Somebody else's: an SMSC may use an id for two numbers.
                continue
            for receipt, record, source in several:
                events.append(_event("receipt", receipt.received_at or record.timestamp, receipt, record, source))
    return events


async def _records(connection: Connection, segment: int) -> list[tuple[RawRecord, dict[str, Any]]]:
    row = await connection.fetchrow(
        "SELECT topic, partition, epoch, digest, records FROM evidence WHERE id = $1", segment
    )
    if row is None:
        return []
    source = {
        "topic": row["topic"],
        "partition": row["partition"],
        "epoch": row["epoch"],
        "segment": segment,
        "digest": row["digest"].hex(),
    }
    return [(record, source) for record in unpack(row["records"])]


def _event(kind: str, at: int, value: Status | Receipt, record: RawRecord, source: dict[str, Any]) -> Event:
    facts = {name: found for name, found in msgspec.to_builtins(value).items() if name not in _SHOWN_ELSEWHERE}
    return Event(
        datetime.fromtimestamp(instant_of(at) / 1000, UTC),
        kind,
        facts,
        source | {"offset": record.offset},
        (record.value or b"").decode(errors="replace"),
    )


_SHOWN_ELSEWHERE = frozenset({"alert_id", "recipient_id", "at", "received_at"})
