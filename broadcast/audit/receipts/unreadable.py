"""Deliveries that nobody could read, as the evidence keeps them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from broadcast.audit.evidence.chain import unpack
from broadcast.clock import instant_of
from broadcast.database import Connection
from schemas.receipt import RawDelivery, Receipt

_LISTED = """
SELECT u.evidence_id, u.record_offset, u.received_at, coalesce(n.name, '') AS account
FROM unreadable_deliveries u LEFT JOIN accounts n ON n.id = u.account
WHERE $1::text IS NULL OR n.name = $1
ORDER BY u.evidence_id DESC, u.record_offset DESC LIMIT $2
"""

_decode = msgspec.json.Decoder(Receipt).decode


@dataclass(frozen=True, slots=True)
class UnreadableDelivery:
    """One delivery: from which account, when, where its record is, and its octets without phone numbers.

    `number_hash` is that of its source address, by which the recipient can be found.
    """

    account: str
    received_at: datetime
    topic: str
    partition: int
    offset: int
    segment: int
    number_hash: int
    raw: RawDelivery


async def list_unreadable(
    connection: Connection, account: str | None = None, limit: int = 100
) -> list[UnreadableDelivery]:
    """The newest deliveries that nobody could read, of one account or of all, the newest first."""
    rows = await connection.fetch(_LISTED, account, limit)
    by_segment: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_segment[row["evidence_id"]].append(row["record_offset"])
    found: dict[tuple[int, int], UnreadableDelivery] = {}
    for segment, offsets in by_segment.items():
        evidence = await connection.fetchrow("SELECT topic, partition, records FROM evidence WHERE id = $1", segment)
        if evidence is None:
            continue
        wanted = set(offsets)
        for record in unpack(evidence["records"]):
            if record.offset not in wanted:
                continue
            receipt = _decode(record.value or b"")
            if receipt.raw is not None:
                at = datetime.fromtimestamp(instant_of(receipt.received_at or record.timestamp) / 1000, UTC)
                place = evidence["topic"], evidence["partition"], record.offset, segment
                found[segment, record.offset] = UnreadableDelivery(
                    receipt.account, at, *place, receipt.number_hash, receipt.raw
                )
    places = [(row["evidence_id"], row["record_offset"]) for row in rows]
    return [found[place] for place in places if place in found]
