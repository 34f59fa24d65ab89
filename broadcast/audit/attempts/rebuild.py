"""Attempts derived from the evidence again and compared with the table; counters compared with the attempts."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from broadcast.audit.attempts.decoding import read_receipts, read_statuses
from broadcast.audit.attempts.receipts import MergedReceipt, merge_receipts
from broadcast.audit.chunk_states.checking import check_counters
from broadcast.audit.codes import CODE_OF_OUTCOME
from broadcast.audit.errors import ODD_VALUES
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import read_records
from broadcast.audit.message_key import message_key
from broadcast.audit.receipt_owner import find_owners
from broadcast.database import Connection
from broadcast.text.counts import counted
from schemas.status import Outcome, Status

Progress = Callable[[int, int], None]
"""Called with the number of segments that are done, and of all."""

Fact = tuple[Any, ...]

FAULTS_KEPT = 20
_BUCKETS = 256

_ATTEMPTS = """
SELECT a.alert_id::text, a.recipient_id, a.attempt, a.segment, a.segments, a.outcome, a.error, a.possible_duplicate,
    CASE WHEN a.account IS NULL THEN '' ELSE n.name END, a.message_key, a.number_hash, a.submitted_at, a.answered_at,
    coalesce(a.reason, ''), coalesce(a.receipt_covers_message, false)
FROM attempts a LEFT JOIN accounts n ON n.id = a.account
WHERE a.alert_id = $1::text::uuid AND a.recipient_id = ANY ($2::bigint[]) AND a.evidence_id = $3
"""


_RECEIPT_WITHOUT_STATE = """
SELECT alert_id, recipient_id, attempt FROM attempts
WHERE receipt_state IS NULL AND (receipt_at, receipt_error, receipt_evidence) IS DISTINCT FROM (NULL, NULL, NULL)
LIMIT $1
"""


@dataclass(slots=True)
class Rebuild:
    """What the comparison found: how many attempts and receipts were derived, and the first faults in words.

    `unreadable` are deliveries that the evidence keeps raw, `refused` are records that PostgreSQL did not take.
    """

    segments: int = 0
    attempts: int = 0
    receipts: int = 0
    parked: int = 0
    unreadable: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True if the table is what the evidence gives."""
        return not self.faults

    def add_fault(self, fault: str) -> None:
        """Add a fault in words; of many only the first are kept."""
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)


async def rebuild_check(connection: Connection, progress: Progress = lambda _done, _all: None) -> Rebuild:
    """Derive every attempt and its receipt from the evidence and compare; one snapshot, one segment at a time.

    Every status of the evidence must be one row, every row one status; every receipt must be in its attempt or parked;
    and every receipt in an attempt must be in the evidence. Every counter and list must be what the attempts say.
    """
    found = Rebuild()
    joined = [array("q") for _ in range(_BUCKETS)]
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL jit = off; SET LOCAL enable_seqscan = off")
        rows = await connection.fetch("SELECT evidence_id, count(*) AS count FROM attempts GROUP BY evidence_id")
        in_table = {row["evidence_id"]: row["count"] for row in rows}
        ids = await connection.fetch("SELECT id, topic FROM evidence ORDER BY topic, partition, epoch, from_offset")
        for row in ids:
            try:
                await _check_segment(connection, found, row["id"], row["topic"], in_table, joined)
            except ODD_VALUES as error:
                found.add_fault(f"segment {row['id']}: it cannot be compared: {error!r}")
            found.segments += 1
            progress(found.segments, len(ids))
        for evidence_id, count in in_table.items():
            found.add_fault(
                f"{counted(count, 'attempt', 'rests', 'rest')} on segment {evidence_id}, "
                "which is no segment of statuses"
            )
        with_receipt = await connection.fetchval("SELECT count(*) FROM attempts WHERE receipt_state IS NOT NULL")
        proven = sum(len(set(bucket)) for bucket in joined)
        if proven != with_receipt:
            found.add_fault(
                f"{counted(with_receipt, 'attempt', 'has', 'have')} a receipt, the evidence proves {proven}"
            )
        for row in await connection.fetch(_RECEIPT_WITHOUT_STATE, FAULTS_KEPT):
            found.add_fault(
                f"alert {row['alert_id']} recipient {row['recipient_id']} attempt {row['attempt']} "
                "has parts of a receipt, and no state of one"
            )
        async for fault in check_counters(connection):
            found.add_fault(fault)
    return found


async def _check_segment(  # noqa: PLR0917 (called once)
    connection: Connection,
    found: Rebuild,
    segment: int,
    topic: str,
    in_table: dict[int, int],
    joined: list["array[int]"],
) -> None:
    records = await _leave_out_refused(connection, found, segment, await read_records(connection, segment))
    if topic.endswith("statuses.v1"):
        statuses = read_statuses(records)
        await _check_statuses(connection, found, segment, statuses.values, statuses.timestamps)
        found.attempts += len(statuses.values)
        if in_table.pop(segment, 0) != len(statuses.values):
            found.add_fault(f"segment {segment}: it holds {len(statuses.values)} statuses, the table has more or fewer")
        return
    receipts = read_receipts(records)
    merged: dict[int, MergedReceipt] = {}
    merge_receipts(receipts.values, receipts.timestamps, segment, merged)
    await _check_receipts(connection, found, segment, merged.values(), joined)
    await _check_unreadable(connection, found, segment, {one.offset for one in receipts.unreadable})
    found.receipts += len(receipts.values)


async def _leave_out_refused(
    connection: Connection, found: Rebuild, segment: int, records: list[RawRecord]
) -> list[RawRecord]:
    rows = await connection.fetch("SELECT record_offset FROM refused_records WHERE evidence_id = $1", segment)
    if not rows:
        return records
    refused = {row["record_offset"] for row in rows}
    found.refused += len(refused)
    for offset in sorted(refused - {record.offset for record in records}):
        found.add_fault(f"segment {segment}: the refused record at offset {offset} is listed and not there")
    return [record for record in records if record.offset not in refused]


async def _check_statuses(
    connection: Connection, found: Rebuild, segment: int, statuses: Iterable[Status], timestamps: Iterable[int]
) -> None:
    derived: dict[str, Counter[Fact]] = defaultdict(Counter)
    for status, timestamp in zip(statuses, timestamps, strict=True):
        derived[status.alert_id.lower()][_fact_of(status, timestamp)] += 1
    for alert_id, facts in derived.items():
        rows = await connection.fetch(_ATTEMPTS, alert_id, sorted({fact[1] for fact in facts}), segment)
        stored = Counter(tuple(row) for row in rows)
        for kind, wrong in (("is not as recorded", facts - stored), ("was never recorded", stored - facts)):
            for fact in wrong:
                found.add_fault(f"segment {segment}: alert {alert_id} recipient {fact[1]} attempt {fact[2]} {kind}")


def _fact_of(status: Status, timestamp: int) -> Fact:
    receivable = status.message_id and status.outcome is Outcome.ACCEPTED
    return (
        status.alert_id.lower(),
        status.recipient_id,
        status.attempt,
        status.segment,
        status.segments,
        CODE_OF_OUTCOME[status.outcome],
        status.error,
        status.possible_duplicate,
        status.account.replace("\0", ""),
        message_key(status.account, status.message_id) if receivable else None,
        status.number_hash,
        _instant(status.submitted_at) if status.submitted_at else None,
        _instant(status.at or timestamp),
        status.reason.replace("\0", ""),
        status.receipt_covers_message,
    )


async def _check_receipts(
    connection: Connection, found: Rebuild, segment: int, merged: Iterable[MergedReceipt], joined: list["array[int]"]
) -> None:
    receipts = list(merged)
    wanted = [(one.message_key, one.number_hash, one.by_text) for one in receipts]
    missing: list[MergedReceipt] = []
    for one, owner in zip(receipts, await find_owners(connection, segment, wanted), strict=True):
        if owner is None:
            missing.append(one)
            continue
        there = (owner["receipt_state"], owner["receipt_at"], owner["error"])
        if (one.code, _instant(one.received_at), one.error) == there:
            joined[one.message_key % _BUCKETS].append(hash(owner["place"]))
        elif owner["receipt_state"] is None:
            found.add_fault(
                f"segment {segment}: alert {owner['alert_id']} recipient {owner['recipient_id']} "
                "names it as evidence of a receipt, and has none"
            )
        elif one.code > owner["receipt_state"]:
            found.add_fault(
                f"segment {segment}: a receipt with message key {one.message_key} is better than the one in its attempt"
            )
    if missing:
        await _check_parked(connection, found, segment, missing)


async def _check_unreadable(connection: Connection, found: Rebuild, segment: int, offsets: set[int]) -> None:
    rows = await connection.fetch("SELECT record_offset FROM unreadable_deliveries WHERE evidence_id = $1", segment)
    listed = {row["record_offset"] for row in rows}
    found.unreadable += len(offsets)
    for kind, wrong in (("is not listed", offsets - listed), ("is listed and not there", listed - offsets)):
        for offset in sorted(wrong):
            found.add_fault(f"segment {segment}: the unreadable delivery at offset {offset} {kind}")


async def _check_parked(connection: Connection, found: Rebuild, segment: int, missing: list[MergedReceipt]) -> None:
    rows = await connection.fetch(
        "SELECT message_key, number_hash FROM unmatched_receipts "
        "WHERE message_key = ANY ($1::bigint[]) AND evidence_id = $2",
        [one.message_key for one in missing],
        segment,
    )
    parked = {(row["message_key"], row["number_hash"]) for row in rows}
    for one in missing:
        if (one.message_key, one.number_hash) in parked:
            found.parked += 1
        else:
            found.add_fault(
                f"segment {segment}: a receipt with message key {one.message_key} is neither joined nor parked"
            )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
