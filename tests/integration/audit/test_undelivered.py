"""Receipts of failure note their recipient for the other route, in the transaction that records them."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import summary
from broadcast.audit.attempts.parked import join_and_commit_parked
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

T = 1_760_000_000_000


def status(alert_id: UUID, recipient_id: int, **changes: object) -> Status:
    values = {"account": "one-a", "message_id": f"m{recipient_id}", "number_hash": recipient_id} | changes
    return Status(str(alert_id), recipient_id, 1, Outcome.ACCEPTED, submitted_at=T, at=T + 5, **values)  # type: ignore[arg-type]


def receipt(recipient_id: int, state: ReceiptState = ReceiptState.UNDELIVERABLE, account: str = "one-a") -> Receipt:
    return Receipt(account, f"m{recipient_id}", state, recipient_id, received_at=T + 50)


async def noted(connection: asyncpg.Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT recipient_id, route FROM undelivered ORDER BY recipient_id")
    return {row["recipient_id"]: row["route"] for row in rows}


@pytest.fixture
def noting(recorder: RecorderWithoutKafka) -> RecorderWithoutKafka:
    recorder.others = {"one-a": "two"}
    return recorder


async def test_final_failures_are_noted_once_and_the_counters_stay_exact(
    noting: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(list(range(1, 10)))
    await noting.write([status(alert_id, number) for number in range(1, 10)])
    states = dict(enumerate(ReceiptState, 1))
    await noting.write(receipts=[receipt(number, state) for number, state in states.items()])
    given_up = {ReceiptState.EXPIRED, ReceiptState.DELETED, ReceiptState.UNDELIVERABLE, ReceiptState.REJECTED}
    expected = {number: "two" for number, state in states.items() if state in given_up}
    assert await noted(connection) == expected
    await noting.write(receipts=[receipt(number, state) for number, state in states.items()])
    assert await noted(connection) == expected
    exact = await summary(connection, alert_id, exact=True)
    assert exact.differences == {}
    assert exact.counts[DeliveryState.UNDELIVERED] == 2


async def test_without_the_policy_nobody_is_noted(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    recorder.others = {"another": "two"}
    await recorder.write([status(alert_id, 1)])
    await recorder.write([status(alert_id, 2)], [receipt(1), receipt(2), receipt(3)])
    await recorder.write([status(alert_id, 3)])
    assert await noted(connection) == {}
    assert (await summary(connection, alert_id, exact=True)).differences == {}


async def test_receipts_before_their_statuses_note_too(
    noting: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    await noting.write([status(alert_id, 1)], [receipt(1), receipt(2), receipt(3, ReceiptState.DELIVERED)])
    assert await noted(connection) == {1: "two"}
    await noting.write([status(alert_id, 2), status(alert_id, 3)])
    assert await noted(connection) == {1: "two", 2: "two"}
    assert (await summary(connection, alert_id, exact=True)).differences == {}


async def test_the_sweep_notes_whom_it_joins(
    noting: RecorderWithoutKafka, other_recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    await other_recorder.write(receipts=[receipt(1), receipt(2, ReceiptState.DELIVERED), receipt(3, account="other")])
    await noting.write([status(alert_id, 1), status(alert_id, 2), status(alert_id, 3, account="other")])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 s'")
    assert await noted(connection) == {}
    assert await join_and_commit_parked(connection, noting.others) == 3
    assert await noted(connection) == {1: "two"}
    assert (await summary(connection, alert_id, exact=True)).differences == {}


async def test_one_segment_of_several_notes_the_recipient(
    noting: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await noting.write([status(alert_id, 1, segment=number, segments=2, message_id=f"s{number}") for number in (1, 2)])
    for number, state in ((1, ReceiptState.DELIVERED), (2, ReceiptState.UNDELIVERABLE)):
        await noting.write(receipts=[Receipt("one-a", f"s{number}", state, 1, received_at=T + 50)])
    assert await noted(connection) == {1: "two"}
    assert (await summary(connection, alert_id, exact=True)).differences == {}


async def test_who_was_sent_once_stays_as_they_are(
    noting: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await noting.write([status(alert_id, 1)])
    await noting.write(receipts=[receipt(1)])
    await connection.execute("UPDATE undelivered SET sent_at = now(), noted_at = 'epoch'")
    await noting.write(receipts=[receipt(1, ReceiptState.REJECTED), receipt(1)])
    assert await connection.fetchval("SELECT count(*) FROM undelivered WHERE noted_at = 'epoch'") == 1


async def test_who_fails_again_while_it_is_decided_that_nothing_is_sent_is_noted_anew(
    noting: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, database_url: str
) -> None:
    alert_id = await alerts.make([1])
    await noting.write([status(alert_id, 1), status(alert_id, 1, message_id="again", possible_duplicate=True)])
    await noting.write(receipts=[receipt(1)])
    deciding = await asyncpg.connect(database_url)
    try:
        transaction = deciding.transaction()
        await transaction.start()
        await deciding.execute("SELECT FROM undelivered FOR UPDATE")
        failing = Receipt("one-a", "again", ReceiptState.UNDELIVERABLE, 1, received_at=T + 60)
        writing = asyncio.create_task(noting.write(receipts=[failing]))
        assert not (await asyncio.wait([writing], timeout=1.0))[0], "it waits for the decision"
        await deciding.execute("DELETE FROM undelivered")
        await transaction.commit()
        await writing
    finally:
        await deciding.close()
    assert await noted(connection) == {1: "two"}
