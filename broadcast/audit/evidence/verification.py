"""Verification that the evidence is whole and unchanged: every chain is computed again from what is stored."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from broadcast import metrics
from broadcast.alarms import EVIDENCE_FAULT, raise_alarm
from broadcast.audience.chunks import GENESIS as FIRST_CHAIN
from broadcast.audience.chunks import chain, chunk_digest, read_reasons
from broadcast.audit.chunk_states.checking import compare_sums
from broadcast.audit.errors import ODD_VALUES, UnknownAlertError
from broadcast.audit.evidence.chain import GENESIS, digest_of, unpack
from broadcast.database import Connection
from broadcast.text.counts import counted

Progress = Callable[[int, int], None]
"""Called with the number of segments and chunks that are done, and of all."""

_AT_ONCE = 50


@dataclass(slots=True)
class Verification:
    """What `verify` found. `faults` say what is wrong: of each partition the first bad segment.

    `heads` are the newest digests of the partitions: kept elsewhere, they also prove that nothing was cut off the end.
    `losses` are offsets that Kafka deleted before they were recorded, whether their alarm was cleared or not.
    `beginnings` are partitions whose evidence begins later than the log did, as in a new database beside an old log.
    """

    segments: int = 0
    records: int = 0
    chunks: int = 0
    epochs: dict[str, int] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    beginnings: list[str] = field(default_factory=list)

    @property
    def unchanged(self) -> bool:
        """True if no fault was found: what was recorded is as it was."""
        return not self.faults

    @property
    def sound(self) -> bool:
        """True if no fault was found, and no loss."""
        return not self.faults and not self.losses


async def verify(
    connection: Connection, alert_id: UUID | None = None, progress: Progress = lambda _done, _all: None
) -> Verification:
    """Recompute the evidence chain of every partition, and the chunk chain of one alert or all.

    Checks of each segment: its digest, that it continues the digest before, that its offsets begin where those before
    ended (a new epoch may begin earlier; if it begins later, that is a loss), and that it holds as many records as it
    says, inside its offsets. Reads a few segments at a time. UnknownAlertError for an id that no alert has.
    """
    found = Verification()
    only = "" if alert_id is None else "WHERE alert_id = $1"
    given = () if alert_id is None else (alert_id,)
    segments = await connection.fetchval("SELECT count(*) FROM evidence")
    chunks = await connection.fetchval(f"SELECT count(*) FROM chunks {only}", *given)
    partitions = await connection.fetch("SELECT DISTINCT topic, partition FROM evidence ORDER BY 1, 2")
    for row in partitions:
        await _verify_partition(connection, found, row[0], row[1], lambda: progress(found.segments, segments + chunks))
    alerts = await connection.fetch(f"SELECT alert_id, chunks, chain, audience FROM alerts {only}", *given)
    if alert_id is not None and not alerts:
        raise UnknownAlertError(alert_id)
    if found.segments < segments:
        missed = counted(segments - found.segments, "segment", "is", "are")
        found.faults.append(f"evidence: {missed} of no partition or offset that exists")
    for alert in alerts:
        try:
            await _verify_chunks(connection, found, alert)
        except ODD_VALUES as error:
            found.faults.append(f"alert {alert['alert_id']}: its chunks cannot be read: {error!r}")
        progress(segments + found.chunks, segments + chunks)
    await _verify_references(connection, found)
    found.faults += [fault async for fault in compare_sums(connection, alert_id)]
    return found


async def note_verification(connection: Connection, found: Verification) -> None:
    """Insert what was found, for `show_verification`; each fault is also an alarm.

    A loss was one when it happened, and stays for ever: it makes no new one.
    """
    await connection.execute(
        "INSERT INTO verifications (segments, records, chunks, sound) VALUES ($1, $2, $3, $4)",
        *(found.segments, found.records, found.chunks, found.unchanged),
    )
    for fault in found.faults:
        await raise_alarm(connection, EVIDENCE_FAULT, fault.split(":")[0][:200], fault)


async def show_verification(connection: Connection) -> None:
    """Set the metric to when the audit was last verified, and unchanged."""
    at = await connection.fetchval("SELECT verified_at FROM verifications WHERE sound ORDER BY id DESC LIMIT 1")
    if at is not None:
        metrics.audit_chain_verified.set(at.timestamp())


async def _verify_partition(
    connection: Connection, found: Verification, topic: str, partition: int, progress: Callable[[], None]
) -> None:
    name = f"{topic}/{partition}"
    previous, epoch, offset, expected = GENESIS, -1, -1, 0
    sound = True
    while True:
        rows = await connection.fetch(
            "SELECT * FROM evidence WHERE topic = $1 AND partition = $2 AND (epoch, from_offset) > ($3, $4) "
            "ORDER BY epoch, from_offset LIMIT $5",
            *(topic, partition, epoch, offset, _AT_ONCE),
        )
        if not rows:
            break
        for row in rows:
            try:
                fault = _fault_of(row, previous, None if epoch < 0 else (epoch, expected))
            except ODD_VALUES as error:
                fault = f"cannot be read: {error!r}"
            if fault and sound:
                found.faults.append(
                    f"{name} epoch {row['epoch']} segment {row['from_offset']} (id {row['id']}): {fault}"
                )
                sound = False
            _note_gap(found, name, row, None if epoch < 0 else (epoch, expected))
            previous, epoch, offset, expected = row["digest"], row["epoch"], row["from_offset"], row["to_offset"]
            found.segments += 1
            found.records += row["count"] or 0
        progress()
    found.epochs[name] = epoch
    found.heads[name] = (previous or b"").hex()


def _note_gap(found: Verification, name: str, row: Any, before: tuple[int, int] | None) -> None:
    start = row["from_offset"]
    if before is None:
        if start:
            found.beginnings.append(f"{name} begins at offset {start:,}: what was before is not in this database")
    elif row["epoch"] > before[0] and start > before[1]:
        found.losses.append(
            f"{name} offsets {before[1]:,} to {start - 1:,} were deleted by Kafka before they were recorded "
            f"(epoch {row['epoch']} begins after them)"
        )


def _fault_of(row: Any, previous: bytes, before: tuple[int, int] | None) -> str | None:
    if row["previous"] != previous:
        return "does not continue the segment before: one was removed, changed or put in"
    identity = (row["topic"], row["partition"], row["epoch"], row["from_offset"], row["to_offset"], row["count"])
    if digest_of(row["previous"], identity, row["records"]) != row["digest"]:
        return "its digest is not that of its content: it was changed"
    if before is None:
        if (row["epoch"], row["from_offset"] > 0) not in {(0, False), (1, True)}:
            return "is the first, and begins neither with epoch 0 at offset 0 nor with epoch 1 at a later one"
    elif row["epoch"] == before[0] and row["from_offset"] != before[1]:
        return f"begins at offset {row['from_offset']}, the segment before ended at {before[1]}"
    elif row["epoch"] not in (before[0], before[0] + 1):
        return f"epoch {row['epoch']} follows epoch {before[0]}"
    try:
        records = unpack(row["records"])
    except ValueError as error:
        return str(error)
    if len(records) != row["count"]:
        return f"holds {counted(len(records), 'record')} and says {row['count']}"
    offsets = [record.offset for record in records]
    if not offsets:
        return None if row["from_offset"] < row["to_offset"] else "has neither records nor offsets"
    if offsets != sorted(set(offsets)) or not row["from_offset"] <= offsets[0] <= offsets[-1] < row["to_offset"]:
        return "its records are not inside its offsets, ascending"
    return None


async def _verify_chunks(connection: Connection, found: Verification, alert: Any) -> None:
    alert_id, link, number, people = alert["alert_id"], FIRST_CHAIN, 0, 0
    while True:
        row = await connection.fetchrow(
            "SELECT * FROM chunks WHERE alert_id = $1 AND chunk >= $2 ORDER BY chunk LIMIT 1", alert_id, number
        )
        if row is None:
            break
        fault = None
        digest = chunk_digest(alert_id, row["chunk"], row["recipients"], read_reasons(row["suppressed"]))
        link = chain(link, digest)
        if row["chunk"] != number:
            fault = f"chunk {number} is missing"
        elif digest != row["digest"]:
            fault = f"chunk {number}: its digest is not that of its content: it was changed"
        elif link != row["chain"]:
            fault = f"chunk {number} does not continue the chunk before"
        elif len(row["recipients"]) != row["count"]:
            fault = f"chunk {number} holds {counted(len(row['recipients']), 'recipient')} and says {row['count']}"
        elif row["recipients"] and (row["first_id"], row["last_id"]) != (row["recipients"][0], row["recipients"][-1]):
            fault = f"chunk {number}: first_id and last_id are not those of its recipients"
        if fault:
            found.faults.append(f"alert {alert_id} {fault}")
            return
        number, people = number + 1, people + row["count"]
        found.chunks += 1
    if alert["audience"] is None:
        return
    if alert["chunks"] is not None and alert["chunks"] != number:
        found.faults.append(f"alert {alert_id} has {counted(number, 'chunk')} and says {alert['chunks']}")
    elif alert["chain"] is not None and alert["chain"] != link:
        found.faults.append(f"alert {alert_id}: the chain of its chunks is not the one that the alert names")
    elif people != alert["audience"]:
        found.faults.append(
            f"alert {alert_id}: its chunks hold {counted(people, 'recipient')}, its audience is {alert['audience']}"
        )


async def _verify_references(connection: Connection, found: Verification) -> None:
    lost = await connection.fetchval(
        "SELECT count(*) FROM (SELECT DISTINCT evidence_id FROM attempts) a "
        "WHERE NOT EXISTS (SELECT FROM evidence e WHERE e.id = a.evidence_id)"
    )
    if lost:
        found.faults.append(f"attempts rest on {counted(lost, 'missing segment')}: evidence was cut off")
