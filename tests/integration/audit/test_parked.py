"""Receipts far ahead of their statuses: a recorder that is behind on one topic must catch up, not stand still."""

from time import monotonic
from uuid import UUID

import asyncpg

from broadcast.audit import summary
from broadcast.audit.attempts.parked import join_and_commit_parked
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

COUNT = 20_000
T = 1_760_000_000_000
BUDGET_SECONDS = 20.0
"""Of work that takes one second, and a minute where every receipt is compared with every other."""


def receipts(first: int = 0) -> list[Receipt]:
    return [
        Receipt("sim", f"m{number}", ReceiptState.DELIVERED, number * 7 + 1, received_at=T + 50)
        for number in range(first, first + COUNT)
    ]


def statuses(alert_id: UUID, first: int = 0) -> list[Status]:
    return [
        Status(str(alert_id), number, 1, Outcome.ACCEPTED, 1, 1, "sim", f"m{number}", number * 7 + 1, 0, "", T, T + 5)
        for number in range(first, first + COUNT)
    ]


async def plan_while_few(recorder: RecorderWithoutKafka, connection: asyncpg.Connection, alert_id: UUID) -> None:
    """Have the statements planned, and the plans kept, while hardly anything is parked."""
    few_receipts, few_statuses = receipts(-3), statuses(alert_id, -3)
    await recorder.write(receipts=few_receipts[:2])
    await connection.execute("VACUUM ANALYZE parked_receipts")
    await recorder.write(few_statuses[:1])
    await connection.execute("VACUUM ANALYZE parked_receipts, attempts")
    await recorder.write(few_statuses[1:2])


async def delivered(connection: asyncpg.Connection, alert_id: UUID) -> int:
    return (await summary(connection, alert_id)).counts[DeliveryState.DELIVERED]


async def test_parked_receipts_are_taken_by_their_key_whatever_the_statistics_say(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(list(range(-3, COUNT)), chunk_size=5_000)
    await plan_while_few(recorder, connection, alert_id)
    await recorder.write(receipts=receipts())
    began_at = monotonic()
    await recorder.write(statuses(alert_id))
    assert monotonic() - began_at < BUDGET_SECONDS
    assert await delivered(connection, alert_id) == COUNT + 2


async def test_the_sweep_joins_what_another_recorder_parked_by_its_key(
    recorder: RecorderWithoutKafka, other_recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(list(range(-3, COUNT)), chunk_size=5_000)
    await other_recorder.write(receipts=receipts(-3)[:2])
    await recorder.write(statuses(alert_id, -3)[:2])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 s'")
    await connection.execute("VACUUM ANALYZE parked_receipts, attempts")
    await join_and_commit_parked(connection)
    await other_recorder.write(receipts=receipts())
    await recorder.write(statuses(alert_id))
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 s'")
    began_at = monotonic()
    while await join_and_commit_parked(connection):
        assert monotonic() - began_at < BUDGET_SECONDS
    assert await delivered(connection, alert_id) == COUNT + 2
