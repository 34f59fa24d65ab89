"""A recorder without Kafka: records are given to it, and its batches are written by the real statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec

from broadcast.audience.chunks import GENESIS, chain, chunk_digest
from broadcast.audit.attempts.batch import NONE_REFUSED, Batch, Recorded, commit_batch
from broadcast.audit.attempts.receipts import ParkedCache
from broadcast.audit.chunk_states.chunk_ends import ChunkEnds
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import Position, SegmentIds
from schemas.receipt import Receipt
from schemas.status import Status

STATUSES, RECEIPTS = "broadcast.statuses.v1", "broadcast.receipts.v1"
NOW = datetime.now(UTC)
encode = msgspec.json.Encoder().encode


@dataclass
class RecorderWithoutKafka:
    """One recorder: owns one partition of each topic."""

    connection: asyncpg.Connection
    partition: int = 0
    shard: int = 0
    log_intact: bool = True
    others: dict[str, str] = field(default_factory=dict)
    ids: SegmentIds = field(default_factory=SegmentIds)
    parked: ParkedCache = field(default_factory=ParkedCache)
    accounts: dict[str, int] = field(default_factory=dict)
    chunks: ChunkEnds = field(default_factory=ChunkEnds)
    positions: dict[str, Position] = field(default_factory=dict)

    async def write(
        self,
        statuses: Sequence[Status | bytes] = (),
        receipts: Sequence[Receipt | bytes] = (),
        timestamp: int = 1_000,
        refused: Mapping[int, str] = NONE_REFUSED,
    ) -> Recorded:
        """Record these as one batch, with timestamps from that one on; `refused` are offsets, each with an error."""
        await self.ids.reserve(self.connection, 2)
        batch = Batch()
        for topic, values in ((STATUSES, statuses), (RECEIPTS, receipts)):
            if not values:
                continue
            position = self.positions.get(topic, Position(topic, self.partition))
            records = [
                RawRecord(
                    position.offset + number,
                    timestamp + number,
                    b"key",
                    value if isinstance(value, bytes) else encode(value),
                )
                for number, value in enumerate(values)
            ]
            add = batch.add_statuses if topic == STATUSES else batch.add_receipts
            # A transaction's end takes an offset too.
            self.positions[topic] = add(self.ids.take(), position, records, records[-1].offset + 2, refused)
        return await commit_batch(
            self.connection,
            batch,
            parked=self.parked,
            accounts=self.accounts,
            chunks=self.chunks,
            shard=self.shard,
            log_intact=self.log_intact,
            others=self.others,
        )


class Alerts:
    """Makes alerts with a stored audience, as the expander leaves them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def make(
        self,
        recipients: Sequence[int],
        *,
        suppressed: dict[int, str] | None = None,
        chunk_size: int = 3,
        state: str = "sending",
        expires_at: datetime = NOW + timedelta(hours=1),
        accepted_at: datetime = NOW,
    ) -> UUID:
        """The id of a new alert for these recipients."""
        alert_id, link, number = uuid4(), GENESIS, 0
        for start in range(0, len(recipients), chunk_size):
            ids = list(recipients[start : start + chunk_size])
            reasons = {one: reason for one, reason in (suppressed or {}).items() if one in ids}
            digest = chunk_digest(alert_id, number, ids, reasons)
            link = chain(link, digest)
            await self._connection.execute(
                "INSERT INTO chunks VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9)",
                *(alert_id, number, ids[0], ids[-1], len(ids), ids),
                *(encode({str(one): reason for one, reason in reasons.items()}).decode(), digest, link),
            )
            number += 1
        await self._connection.execute(
            "INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest, "
            "groups, event_offset, actor, expires_at, accepted_at, expanded_at, audience, suppressed, chunks, chain) "
            "VALUES ($1, $2, 'immediate', 's', 'i', $3, 'Actual', 'Alert', '{}', '', '{}', 0, 'test', $4, $5, $5, "
            "$6, $7, $8, $9)",
            *(alert_id, state, NOW, expires_at, accepted_at, len(recipients), len(suppressed or {}), number, link),
        )
        return alert_id
