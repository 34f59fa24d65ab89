"""The crash of docs/recorder.md on a real PostgreSQL: after each COMMIT the counters that the page shows."""

import asyncio
from uuid import UUID

import asyncpg

from broadcast.audit import summary
from broadcast.audit.attempts.parked import join_and_commit_parked
from broadcast.audit.evidence.segments import Position, read_positions
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import RECEIPTS, STATUSES, Alerts, RecorderWithoutKafka

T = 1_760_000_000_000
FIRST = {STATUSES: Position(STATUSES, 0, offset=200), RECEIPTS: Position(RECEIPTS, 0, offset=50)}
JOIN_SECONDS = 10.0
"""The sweep joins what was parked over a second ago."""


def statuses(alert_id: UUID, *recipients: int) -> list[Status]:
    return [
        Status(str(alert_id), one, 1, Outcome.ACCEPTED, 1, 1, "smsc", f"m{one}", one, 0, "", T, T + 5)
        for one in recipients
    ]


def receipts(*messages: int) -> list[Receipt]:
    return [Receipt("smsc", f"m{one}", ReceiptState.DELIVERED, one, received_at=T + 50) for one in messages]


async def states(connection: asyncpg.Connection, alert_id: UUID) -> tuple[int, int, int]:
    """Delivered, submitted, queued; their sum is the audience."""
    found = await summary(connection, alert_id)
    assert found.gap == 0
    counts = found.counts
    return counts[DeliveryState.DELIVERED], counts[DeliveryState.SUBMITTED], counts[DeliveryState.QUEUED]


async def parked(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM parked_receipts")
    return count


async def test_each_commit_leaves_the_counters_that_are_shown(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(range(1, 11))
    recorder.positions = dict(FIRST)
    assert await states(connection, alert_id) == (0, 0, 10)

    await recorder.write(statuses(alert_id, 1, 2, 3, 4, 5, 6), receipts(1, 2, 3, 8))
    assert await states(connection, alert_id) == (3, 3, 4)
    assert await parked(connection) == 1

    # Killed before COMMIT: PostgreSQL keeps nothing of the batch.
    transaction = connection.transaction()
    await transaction.start()
    await recorder.write(statuses(alert_id, 7, 8, 9, 10), receipts(4, 5))
    await transaction.rollback()
    assert await states(connection, alert_id) == (3, 3, 4)
    assert await parked(connection) == 1

    restarted = RecorderWithoutKafka(connection)
    ends = await read_positions(connection, [(STATUSES, 0), (RECEIPTS, 0)])
    # The tool of these tests puts the end of a transaction behind the receipts too.
    assert (ends[STATUSES, 0].offset, ends[RECEIPTS, 0].offset) == (207, 55)
    restarted.positions = {topic: position for (topic, _), position in ends.items()}
    await restarted.write(statuses(alert_id, 7, 8, 9, 10), receipts(4, 5, 9))
    assert await states(connection, alert_id) == (6, 4, 0)
    assert restarted.positions[STATUSES].offset == 212
    assert await parked(connection) == 1

    async with asyncio.timeout(JOIN_SECONDS):
        while await join_and_commit_parked(connection) == 0:
            await asyncio.sleep(0.1)
    assert await states(connection, alert_id) == (7, 3, 0)
    assert await parked(connection) == 0
    assert (await summary(connection, alert_id, exact=True)).sound
