"""What the recorder tells its operators of receipts: how each met its attempt, and how long it labels."""

import asyncpg

from broadcast import metrics
from broadcast.audit.attempts.batch import Batch
from broadcast.audit.attempts.metrics import report_batch
from broadcast.audit.attempts.parked import join_and_commit_parked
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

SUBMITTED_AT = 1_000_000


def submitted(alert_id: object, recipient: int, account: str) -> Status:
    return Status(
        *(str(alert_id), recipient, 1, Outcome.ACCEPTED),
        account=account,
        message_id=str(recipient),
        number_hash=recipient,
        submitted_at=SUBMITTED_AT,
        at=SUBMITTED_AT + 1,
    )


def receipt(recipient: int, account: str, after: int, state: ReceiptState = ReceiptState.DELIVERED) -> Receipt:
    return Receipt(account, str(recipient), state, recipient, received_at=SUBMITTED_AT + after)


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels) or 0.0


async def test_each_receipt_is_counted_by_how_it_met_its_attempt(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    account = "figures"
    alert_id = await alerts.make([1, 2, 3, 4])

    async def write(statuses: list[Status], receipts: list[Receipt]) -> None:
        report_batch(Batch(oldest_at=1), await recorder.write(statuses, receipts), recorder.accounts)

    await write([submitted(alert_id, 1, account)], [receipt(1, account, 40)])
    await write([submitted(alert_id, 2, account)], [receipt(3, account, 2_000)])
    await write([], [receipt(2, account, 400_000, ReceiptState.EXPIRED)])
    recorder.parked.receipts.clear()
    await write([submitted(alert_id, 3, account)], [receipt(1, account, 90)])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 seconds'")
    assert await join_and_commit_parked(connection) == 1

    found = {
        (match, state): value("receipts_total", account=account, match=match, state=state)
        for match in ("matched", "early", "late", "duplicate")
        for state in ("delivered", "expired")
    }
    assert {kind: number for kind, number in found.items() if number} == {
        ("early", "delivered"): 1,
        ("matched", "expired"): 1,
        ("duplicate", "delivered"): 1,
        ("late", "delivered"): 1,
    }
    labels = {"account": account, "state": "delivered"}
    assert value("receipt_duration_seconds_count", **labels) == 2
    assert value("receipt_duration_seconds_sum", **labels) == 2.04
    assert value("receipt_duration_seconds_bucket", **labels, le="1.0") == 1
    assert value("receipt_duration_seconds_sum", account=account, state="expired") == 400.0
