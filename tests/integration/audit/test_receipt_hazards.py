"""What goes wrong with receipts between a carrier and the audit, and what the audit makes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import history, rebuild_check, summary
from broadcast.audit.attempts.parked import join_and_commit_parked
from broadcast.audit.watch.sweep import sweep
from schemas.receipt import FINAL_RECEIPT_STATES, Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

NOW = datetime.now(UTC)
T = int(NOW.timestamp() * 1000)
DAY = 86_400_000
ACCEPTED, UNKNOWN = Outcome.ACCEPTED, Outcome.UNKNOWN


def status(alert_id: UUID, recipient_id: int, outcome: Outcome = ACCEPTED, **changes: Any) -> Status:
    values: dict[str, Any] = {
        "attempt": 1,
        "account": "sim",
        "number_hash": recipient_id,
        "submitted_at": T,
        "at": T + 5,
    }
    if outcome is ACCEPTED:
        values["message_id"] = f"m{recipient_id}"
    return Status(str(alert_id), recipient_id, outcome=outcome, **(values | changes))


def receipt(recipient_id: int, state: ReceiptState = ReceiptState.DELIVERED, **changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "account": "sim",
        "message_id": f"m{recipient_id}",
        "number_hash": recipient_id,
        "received_at": T + 50,
    }
    return Receipt(state=state, **(values | changes))


class Audit:
    """One alert, and its counts after counting has confirmed the counters."""

    def __init__(self, connection: asyncpg.Connection, alert_id: UUID) -> None:
        self.connection, self.alert_id = connection, alert_id

    async def counts(self) -> dict[str, int]:
        found = await summary(self.connection, self.alert_id, exact=True)
        assert (found.differences, found.gap, found.outside_audience) == ({}, 0, 0)
        assert (await rebuild_check(self.connection)).faults == []
        return {state.value: number for state, number in found.counts.items() if number}

    async def sweep(self) -> None:
        """One full sweep, two minutes later."""
        await self.connection.execute("UPDATE parked_receipts SET parked_at = parked_at - interval '2 min'")
        await join_and_commit_parked(self.connection, old=True)


@pytest.fixture
async def audit(alerts: Alerts, connection: asyncpg.Connection) -> Audit:
    return Audit(connection, await alerts.make([1, 2]))


async def test_the_key_is_the_account_and_the_id_never_the_id_alone(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write([status(audit.alert_id, 1), status(audit.alert_id, 2, account="north", message_id="m1")])
    await recorder.write(receipts=[receipt(2, account="north", message_id="m1")])
    await audit.sweep()
    assert await audit.counts() == {"submitted": 1, "delivered": 1}


@pytest.mark.parametrize(
    ("days", "message_id", "number", "at_once", "after_a_minute"),
    [
        (0, "m1", 1, "delivered", "delivered"),
        (8, "m1", 1, "submitted", "submitted"),
        (0, "m9", 1, "submitted", "submitted"),
        # Another number: only when it has had time to find its own, since an SMSC may write a number otherwise.
        (0, "m1", 3, "submitted", "delivered"),
    ],
)
async def test_an_id_is_bound_by_time_and_by_its_destination(
    recorder: RecorderWithoutKafka,
    audit: Audit,
    days: int,
    message_id: str,
    number: int,
    at_once: str,
    after_a_minute: str,
) -> None:
    at = T - days * DAY
    await recorder.write([status(audit.alert_id, 1, submitted_at=at, at=at)])
    await recorder.write(receipts=[receipt(number, message_id=message_id)])
    assert await audit.counts() == {"queued": 1, at_once: 1}
    await audit.sweep()
    assert await audit.counts() == {"queued": 1, after_a_minute: 1}


async def test_an_id_that_is_used_again_for_another_number_is_of_its_own_message_only(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write([status(audit.alert_id, 1), status(audit.alert_id, 2, message_id="m1")])
    await recorder.write(receipts=[receipt(2, ReceiptState.UNDELIVERABLE, message_id="m1")])
    await audit.sweep()
    assert await audit.counts() == {"submitted": 1, "undelivered": 1}


@pytest.mark.parametrize("first", ["statuses", "receipts", "one batch", "receipts, joined by the sweep"])
async def test_an_id_that_an_smsc_used_for_two_numbers_at_once_belongs_to_both(
    recorder: RecorderWithoutKafka, audit: Audit, first: str
) -> None:
    statuses = [status(audit.alert_id, number, message_id="m") for number in (1, 2)]
    receipts = [
        receipt(2, ReceiptState.UNDELIVERABLE, message_id="m", received_at=T + 40),
        receipt(1, message_id="m"),
        receipt(3, message_id="m"),
    ]
    if first == "one batch":
        await recorder.write(statuses, receipts)
    elif first == "statuses":
        await recorder.write(statuses)
        await recorder.write(receipts=receipts)
    else:
        await recorder.write(receipts=receipts)
        if "sweep" in first:
            recorder.parked.receipts.clear()
        await recorder.write(statuses)
        await audit.sweep()
    assert await audit.counts() == {"delivered": 1, "undelivered": 1}
    assert (await rebuild_check(audit.connection)).parked == 1, "that of the third number"
    for number, states in ((1, ["delivered"]), (2, ["undeliverable"])):
        events = await history(audit.connection, audit.alert_id, number)
        assert [event.facts["state"] for event in events if event.kind == "receipt"] == states


async def test_a_receipt_that_was_taken_from_one_of_two_numbers_with_one_id_is_missed(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write([status(audit.alert_id, number, message_id="m") for number in (1, 2)])
    await recorder.write(receipts=[receipt(number, message_id="m") for number in (1, 2)])
    await audit.connection.execute(
        "UPDATE attempts SET receipt_state = NULL, receipt_evidence = NULL WHERE recipient_id = 2"
    )
    fault = (await rebuild_check(audit.connection)).faults[0]
    assert "neither joined nor parked" in fault


async def test_a_receipt_for_a_number_written_otherwise_is_found_by_its_id_alone(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write([status(audit.alert_id, 1)])
    await recorder.write(receipts=[receipt(77, message_id="m1")])
    await audit.sweep()
    assert await audit.counts() == {"queued": 1, "delivered": 1}
    events = await history(audit.connection, audit.alert_id, 1)
    assert [event.facts["state"] for event in events if event.kind == "receipt"] == ["delivered"]


@pytest.mark.parametrize("first", ["status", "receipt"])
async def test_a_receipt_on_another_bind_and_process_finds_its_message(
    recorder: RecorderWithoutKafka, other_recorder: RecorderWithoutKafka, audit: Audit, first: str
) -> None:
    if first == "status":
        await recorder.write([status(audit.alert_id, 1)])
        await other_recorder.write(receipts=[receipt(1)])
    else:
        await other_recorder.write(receipts=[receipt(1)])
        await recorder.write([status(audit.alert_id, 1)])
        await audit.sweep()
    assert await audit.counts() == {"queued": 1, "delivered": 1}


@pytest.mark.parametrize(
    ("final", "reached"),
    [
        (ReceiptState.DELIVERED, "delivered"),
        (ReceiptState.EXPIRED, "expired"),
        (ReceiptState.DELETED, "undelivered"),
        (ReceiptState.UNDELIVERABLE, "undelivered"),
        (ReceiptState.REJECTED, "rejected"),
    ],
)
async def test_a_late_enroute_or_acceptd_does_not_overwrite_a_final_state(
    recorder: RecorderWithoutKafka, audit: Audit, final: ReceiptState, reached: str
) -> None:
    await recorder.write([status(audit.alert_id, 1)], [receipt(1, final)])
    assert await audit.counts() == {"queued": 1, reached: 1}
    for late in sorted(set(ReceiptState) - FINAL_RECEIPT_STATES):
        await recorder.write(receipts=[receipt(1, late, received_at=T + 90_000), receipt(1, final)])
        assert await audit.counts() == {"queued": 1, reached: 1}


async def test_acceptd_is_not_delivery_and_unknown_is_not_failure(recorder: RecorderWithoutKafka, audit: Audit) -> None:
    await recorder.write(
        [status(audit.alert_id, 1), status(audit.alert_id, 2)],
        [receipt(1, ReceiptState.ACCEPTED), receipt(2, ReceiptState.UNKNOWN)],
    )
    assert await audit.counts() == {"submitted": 1, "unknown": 1}
    await recorder.write(receipts=[receipt(1, ReceiptState.UNDELIVERABLE), receipt(2)])
    assert await audit.counts() == {"undelivered": 1, "delivered": 1}


async def test_delivered_that_a_gateway_invented_stays_as_the_best_that_was_said(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write([status(audit.alert_id, 1)], [receipt(1)])
    await recorder.write(receipts=[receipt(1, ReceiptState.UNDELIVERABLE, received_at=T + 9_000)])
    assert await audit.counts() == {"queued": 1, "delivered": 1}
    evidence = await audit.connection.fetchval("SELECT receipt_evidence FROM attempts")
    assert len(evidence) == 2, "both are evidence of the attempt"


async def test_a_throttled_and_retried_message_keeps_its_receipt(recorder: RecorderWithoutKafka, audit: Audit) -> None:
    await recorder.write([status(audit.alert_id, 1, Outcome.REFUSED_FOR_NOW, error=0x58)])
    await recorder.write(receipts=[receipt(1)])
    await recorder.write([status(audit.alert_id, 1, attempt=2)])
    assert await audit.counts() == {"queued": 1, "delivered": 1}


@pytest.mark.parametrize("order", ["receipt, then the late status", "one batch", "late status, then the receipt"])
async def test_a_receipt_for_a_submit_that_nothing_answered_settles_it(
    recorder: RecorderWithoutKafka, audit: Audit, order: str
) -> None:
    await recorder.write([status(audit.alert_id, 1, UNKNOWN)])
    assert await audit.counts() == {"queued": 1, "unknown": 1}
    settled = status(audit.alert_id, 1, late=True)
    if order.startswith("receipt"):
        await recorder.write(receipts=[receipt(1)])
        await recorder.write([settled])
    elif order == "one batch":
        await recorder.write([settled], [receipt(1)])
    else:
        await recorder.write([settled])
        await recorder.write(receipts=[receipt(1)])
    assert await audit.counts() == {"queued": 1, "delivered": 1}


async def test_both_receipts_of_a_message_that_was_sent_twice_count_once(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    again = status(audit.alert_id, 1, attempt=2, message_id="again", submitted_at=T + 60_000, possible_duplicate=True)
    await recorder.write([status(audit.alert_id, 1, UNKNOWN), again])
    await recorder.write(receipts=[receipt(1, message_id="again", received_at=T + 61_000), receipt(1)])
    await audit.sweep()
    assert await audit.counts() == {"queued": 1, "delivered": 1}
    assert await audit.connection.fetchval("SELECT count(*) FROM parked_receipts") == 1


async def test_receipts_after_the_alert_is_completed_still_count(recorder: RecorderWithoutKafka, audit: Audit) -> None:
    await recorder.write([status(audit.alert_id, 1), status(audit.alert_id, 2)])
    await sweep(audit.connection, NOW)
    assert await audit.connection.fetchval("SELECT completed_at IS NOT NULL FROM alerts")
    await recorder.write(receipts=[receipt(1, received_at=T + DAY)])
    assert await audit.counts() == {"submitted": 1, "delivered": 1}


async def test_a_message_is_delivered_only_when_all_its_parts_are(recorder: RecorderWithoutKafka, audit: Audit) -> None:
    parts = [status(audit.alert_id, 1, segments=3, segment=part, message_id=f"p{part}") for part in (1, 2, 3)]
    # Answers and receipts in any order.
    await recorder.write([parts[2]], [receipt(1, message_id="p1")])
    await recorder.write([parts[0], parts[1]], [receipt(1, message_id="p3")])
    assert await audit.counts() == {"queued": 1, "submitted": 1}
    await recorder.write(receipts=[receipt(1, ReceiptState.UNDELIVERABLE, message_id="p2")])
    assert await audit.counts() == {"queued": 1, "undelivered": 1}


async def test_five_receipts_on_the_wire_are_five_in_the_audit(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    numbers = list(range(1, 6))
    audit = Audit(connection, await alerts.make(numbers))
    await recorder.write(receipts=[receipt(number) for number in numbers] * 3)
    await recorder.write([status(audit.alert_id, number) for number in numbers])
    await recorder.write(receipts=[receipt(number) for number in numbers])
    assert await audit.counts() == {"delivered": 5}


async def test_an_unmatched_receipt_waits_for_hours_and_stays_for_the_audit(
    recorder: RecorderWithoutKafka, audit: Audit
) -> None:
    await recorder.write(receipts=[receipt(1), receipt(9)])
    recorder.parked.receipts.clear()
    await audit.connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '6 hours'")
    await recorder.write([status(audit.alert_id, 1)])
    await audit.sweep()
    assert await audit.counts() == {"queued": 1, "delivered": 1}
    assert (await rebuild_check(audit.connection)).parked == 1
    hour = timedelta(hours=1)
    assert (await summary(audit.connection, audit.alert_id, receipt_deadline=hour)).counts[DeliveryState.DELIVERED] == 1


async def test_the_history_says_why_a_receipt_failed(recorder: RecorderWithoutKafka, audit: Audit) -> None:
    await recorder.write([status(audit.alert_id, 1)])
    await recorder.write(receipts=[receipt(1, ReceiptState.UNDELIVERABLE, error="3:42")])
    [found] = [event for event in await history(audit.connection, audit.alert_id, 1) if event.kind == "receipt"]
    assert (found.facts["state"], found.facts["error"]) == ("undeliverable", "3:42")
