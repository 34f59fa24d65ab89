"""What the recorder writes: attempts, receipts, counters, in any order and with any repetition."""

from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import rebuild_check, summary, verify
from broadcast.audit.attempts.parked import join_and_commit_parked
from broadcast.errors import FencedError
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

T = 1_760_000_000_000


def status(alert_id: UUID, recipient_id: int, outcome: Outcome = Outcome.ACCEPTED, **changes: Any) -> Status:
    values: dict[str, Any] = {"attempt": 1, "submitted_at": T, "at": T + 5}
    if outcome is Outcome.ACCEPTED:
        values |= {"account": "sim", "message_id": f"m{recipient_id}", "number_hash": recipient_id * 7 + 1}
    return Status(str(alert_id), recipient_id, outcome=outcome, **(values | changes))


def receipt(recipient_id: int, state: ReceiptState = ReceiptState.DELIVERED, **changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "message_id": f"m{recipient_id}",
        "number_hash": recipient_id * 7 + 1,
        "received_at": T + 50,
    }
    return Receipt("sim", state=state, **(values | changes))


async def counts(connection: asyncpg.Connection, alert_id: UUID) -> dict[str, int]:
    """The counters, after counting has confirmed them."""
    found = await summary(connection, alert_id, exact=True)
    assert found.differences == {}
    assert found.gap == 0
    assert found.outside_audience == 0
    assert (await summary(connection, alert_id)).counts == found.counts
    return {state.value: number for state, number in found.counts.items() if number}


async def test_a_status_makes_an_attempt_with_all_it_says(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2])
    full = status(
        alert_id,
        2,
        account="a\0b",
        attempt=3,
        segment=2,
        segments=4,
        error=0xFFFFFFFF,
        reason="why\0 not",
        possible_duplicate=True,
    )
    await recorder.write([status(alert_id, 1, Outcome.FAILED, submitted_at=0, at=0, reason="no number"), full])
    rows = await connection.fetch("SELECT * FROM attempts ORDER BY recipient_id")
    bare, rich = (dict(row) for row in rows)
    assert (bare["submitted_at"], bare["message_key"], bare["account"], bare["reason"]) == (
        None,
        None,
        None,
        "no number",
    )
    assert bare["answered_at"].timestamp() == 1.0
    assert bare["only_attempt"]
    assert (rich["attempt"], rich["segment"], rich["segments"], rich["error"]) == (3, 2, 4, 0xFFFFFFFF)
    assert (rich["reason"], rich["possible_duplicate"], rich["only_attempt"]) == ("why not", True, False)
    assert (rich["submitted_at"].timestamp(), rich["answered_at"].timestamp()) == (T / 1000, (T + 5) / 1000)
    assert await connection.fetchval("SELECT name FROM accounts WHERE id = $1", rich["account"]) == "ab"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ACCEPTED, "submitted"),
        (Outcome.REFUSED, "rejected"),
        (Outcome.REFUSED_FOR_NOW, "queued"),
        (Outcome.UNKNOWN, "unknown"),
        (Outcome.EXPIRED, "expired"),
        (Outcome.CANCELLED, "cancelled"),
        (Outcome.FAILED, "failed"),
    ],
)
async def test_counters_follow_outcomes(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, outcome: Outcome, state: str
) -> None:
    alert_id = await alerts.make([1, 2, 3, 4, 5], suppressed={5: "opted out"})
    await recorder.write([status(alert_id, 1, outcome), status(alert_id, 2, outcome)])
    expected = {"queued": 2, "suppressed": 1} | {state: 2}
    if state == "queued":
        expected["queued"] = 4
    assert await counts(connection, alert_id) == expected


@pytest.mark.parametrize("order", ["status first", "one batch", "receipt first", "receipt first, forgotten"])
async def test_a_receipt_finds_its_attempt_whichever_comes_first(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, order: str
) -> None:
    alert_id = await alerts.make([1, 2])
    if order == "status first":
        await recorder.write([status(alert_id, 1)])
        await recorder.write(receipts=[receipt(1)])
    elif order == "one batch":
        await recorder.write([status(alert_id, 1)], [receipt(1)])
    else:
        recorded = await recorder.write(receipts=[receipt(1)])
        assert recorded.parked == 1
        if order.endswith("forgotten"):
            recorder.parked.receipts.clear()
        await recorder.write([status(alert_id, 1)])
        if order.endswith("forgotten"):
            await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 s'")
            assert await join_and_commit_parked(connection) == 1
    assert await counts(connection, alert_id) == {"delivered": 1, "queued": 1}
    assert await connection.fetchval("SELECT count(*) FROM parked_receipts") == 0
    assert await connection.fetchval("SELECT receipt_at FROM attempts") is not None
    assert (await rebuild_check(connection)).faults == []


async def test_receipts_repeat_and_come_late(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2])
    await recorder.write([status(alert_id, 1), status(alert_id, 2)], [receipt(1, ReceiptState.ENROUTE)])
    await recorder.write(receipts=[receipt(1), receipt(1), receipt(2, ReceiptState.UNDELIVERABLE, error="042")])
    assert await counts(connection, alert_id) == {"delivered": 1, "undelivered": 1}
    await recorder.write(receipts=[receipt(1), receipt(1, ReceiptState.ENROUTE, received_at=T + 99)])
    await recorder.write(receipts=[receipt(2, ReceiptState.EXPIRED, received_at=T + 99)])
    assert await counts(connection, alert_id) == {"delivered": 1, "undelivered": 1}
    await recorder.write(receipts=[receipt(2, ReceiptState.DELIVERED, received_at=T + 200)])
    assert await counts(connection, alert_id) == {"delivered": 2}
    row = await connection.fetchrow("SELECT * FROM attempts WHERE recipient_id = 1")
    assert row is not None
    assert (row["receipt_state"], row["receipt_at"].timestamp()) == (80, (T + 50) / 1000)
    assert len(row["receipt_evidence"]) == 3
    assert (await rebuild_check(connection)).faults == []


async def test_a_receipt_for_an_unknown_id_stays_and_is_counted(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await recorder.write([status(alert_id, 1)], [receipt(9), receipt(1, number_hash=99)])
    await join_and_commit_parked(connection, old=True)
    assert await counts(connection, alert_id) == {"submitted": 1}
    assert await connection.fetchval("SELECT count(*) FROM parked_receipts") == 2
    assert (await rebuild_check(connection)).parked == 2


async def test_a_number_written_otherwise_is_joined_by_the_id_alone_after_a_minute(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await recorder.write([status(alert_id, 1)], [receipt(1, number_hash=99)])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 min'")
    assert await join_and_commit_parked(connection, old=True) == 1
    assert await counts(connection, alert_id) == {"delivered": 1}
    assert (await rebuild_check(connection)).faults == []


async def test_a_receipt_by_its_text_alone_never_counts_for_another_number(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2])
    written = [receipt(1, number_hash=99, by_text=True), receipt(2, by_text=True)]
    await recorder.write([status(alert_id, 1), status(alert_id, 2)], written)
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 min'")
    assert await join_and_commit_parked(connection, old=True) == 0
    assert await counts(connection, alert_id) == {"submitted": 1, "delivered": 1}


async def test_a_receipt_that_fits_no_attempt_keeps_its_place_among_the_parked(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await recorder.write([status(alert_id, 1)], [receipt(1)])
    await recorder.write(receipts=[receipt(1, received_at=T + 3_600_000)])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '10 s'")
    before = [tuple(row) for row in await connection.fetch("SELECT * FROM parked_receipts")]
    assert len(before) == 1
    assert await join_and_commit_parked(connection) == 0
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM parked_receipts")] == before


async def test_an_id_used_again_goes_to_the_newest_earlier_submit_of_that_number(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3, 4])
    same: dict[str, Any] = {"message_id": "again", "number_hash": 5}
    await recorder.write(
        [
            status(alert_id, 1, **same, submitted_at=T),
            status(alert_id, 2, **same, submitted_at=T + 1000),
            status(alert_id, 3, **same, submitted_at=T + 9000),
            status(alert_id, 4, message_id="again", number_hash=6, submitted_at=T + 1500),
        ]
    )
    await recorder.write(receipts=[receipt(0, **same, received_at=T + 2000)])
    found = await connection.fetch("SELECT recipient_id FROM attempts WHERE receipt_state IS NOT NULL")
    assert [row["recipient_id"] for row in found] == [2]
    await recorder.write(
        receipts=[receipt(0, ReceiptState.ENROUTE, message_id="again", number_hash=0, received_at=T + 2500)]
    )
    found = await connection.fetch("SELECT recipient_id FROM attempts WHERE receipt_state = 10")
    assert [row["recipient_id"] for row in found] == [4]
    assert await counts(connection, alert_id) == {"submitted": 3, "delivered": 1}


async def test_segments_count_as_delivered_when_all_are(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2])
    first = status(alert_id, 1, segments=2, message_id="p1")
    second = status(alert_id, 1, segments=2, segment=2, message_id="p2")
    await recorder.write([first])
    assert await counts(connection, alert_id) == {"queued": 2}
    await recorder.write([second], [receipt(1, message_id="p1")])
    assert await counts(connection, alert_id) == {"queued": 1, "submitted": 1}
    await recorder.write(receipts=[receipt(1, message_id="p2")])
    assert await counts(connection, alert_id) == {"queued": 1, "delivered": 1}


@pytest.mark.parametrize("order", ["answers first", "receipt first", "receipt between"])
async def test_one_receipt_speaks_for_all_parts_where_the_account_says_so(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, order: str
) -> None:
    alert_id = await alerts.make([1, 2])
    first, second = (
        status(alert_id, 1, segments=2, segment=part, message_id=f"p{part}", receipt_covers_message=True)
        for part in (1, 2)
    )
    spoken = [receipt(1, message_id="p2")]
    if order == "answers first":
        await recorder.write([first, second])
        assert await counts(connection, alert_id) == {"queued": 1, "submitted": 1}
        await recorder.write(receipts=spoken)
    elif order == "receipt first":
        await recorder.write(receipts=spoken)
        await recorder.write([first])
        await recorder.write([second])
    else:
        await recorder.write([second])
        await recorder.write(receipts=spoken)
        assert await counts(connection, alert_id) == {"queued": 2}
        await recorder.write([first])
    assert await counts(connection, alert_id) == {"queued": 1, "delivered": 1}
    await recorder.write(receipts=spoken)
    assert await counts(connection, alert_id) == {"queued": 1, "delivered": 1}
    hour = timedelta(hours=1)
    assert (await summary(connection, alert_id, receipt_deadline=hour)).receipt_overdue == 0
    assert (await rebuild_check(connection)).faults == []


async def test_a_second_writer_is_fenced(
    recorder: RecorderWithoutKafka, other_recorder: RecorderWithoutKafka, alerts: Alerts
) -> None:
    alert_id = await alerts.make([1, 2])
    other_recorder.partition = 0
    await recorder.write([status(alert_id, 1)])
    with pytest.raises(FencedError, match="another recorder"):
        await other_recorder.write([status(alert_id, 2)])


async def test_evidence_cannot_be_changed(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    await recorder.write([status(await alerts.make([1]), 1)])
    for statement in ("UPDATE evidence SET count = 2", "DELETE FROM evidence", "TRUNCATE evidence"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)


async def test_an_answer_that_comes_late_replaces_the_unknown(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    await recorder.write([status(alert_id, recipient_id, Outcome.UNKNOWN) for recipient_id in (1, 2, 3)])
    assert await counts(connection, alert_id) == {"unknown": 3}
    await recorder.write([status(alert_id, 2, Outcome.REFUSED, late=True), status(alert_id, 3, late=True)])
    assert await counts(connection, alert_id) == {"unknown": 1, "rejected": 1, "submitted": 1}


@pytest.mark.parametrize("seed", range(12))
async def test_counters_equal_counting_whatever_comes_in_whatever_order(
    recorder: RecorderWithoutKafka,
    other_recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
    seed: int,
) -> None:
    random = Random(seed)
    recorder.log_intact = other_recorder.log_intact = seed % 3 != 0
    recipients = list(range(1, 13))
    alert_id = await alerts.make(recipients, suppressed={12: "opted out"})
    statuses, receipts = _random_history(random, alert_id, recipients[:-1], repeat=not recorder.log_intact)
    things: list[Status | Receipt] = [*statuses, *receipts, *random.sample(receipts, len(receipts) // 3)]
    random.shuffle(things)
    while things:
        size = random.randint(1, 9)
        now, things = things[:size], things[size:]
        writer = random.choice([recorder, other_recorder])
        await writer.write(
            [one for one in now if isinstance(one, Status)], [one for one in now if isinstance(one, Receipt)]
        )
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 s'")
    await join_and_commit_parked(connection)
    found = await counts(connection, alert_id)
    assert sum(found.values()) == len(recipients)
    rebuilt = await rebuild_check(connection)
    assert rebuilt.faults == []
    assert (await verify(connection)).faults == []


KINDS = (*("plain", "plain", "refused", "retry", "unknown", "late", "long", "one receipt", "cancelled", "nothing"),)


def _random_history(
    random: Random, alert_id: UUID, recipients: list[int], *, repeat: bool
) -> tuple[list[Status], list[Receipt]]:
    """Statuses and receipts as senders might write them: retries, unknowns sent again, several segments."""
    statuses: list[Status] = []
    receipts: list[Receipt] = []

    def submit(
        recipient_id: int, attempt: int, segment: int, segments: int, *, marked: bool, covers: bool = False
    ) -> None:
        name = f"{recipient_id}-{attempt}-{segment}-{marked}"
        statuses.append(
            status(
                alert_id,
                recipient_id,
                attempt=attempt,
                segment=segment,
                segments=segments,
                message_id=name,
                possible_duplicate=marked,
                receipt_covers_message=covers,
            )
        )
        for _ in range(random.choice([0, 1, 1, 2])):
            state = random.choice(list(ReceiptState))
            receipts.append(receipt(recipient_id, state, message_id=name, received_at=T + random.randint(10, 99)))

    for recipient_id in recipients:
        kind = random.choice(KINDS)
        if kind == "plain":
            submit(recipient_id, 1, 1, 1, marked=False)
        elif kind == "refused":
            statuses.append(status(alert_id, recipient_id, Outcome.REFUSED, error=11))
        elif kind == "cancelled":
            statuses.append(status(alert_id, recipient_id, Outcome.CANCELLED, segment=0, submitted_at=0))
        elif kind == "retry":
            statuses.append(status(alert_id, recipient_id, Outcome.REFUSED_FOR_NOW, error=88))
            submit(recipient_id, 2, 1, 1, marked=False)
        elif kind == "unknown":
            statuses.append(status(alert_id, recipient_id, Outcome.UNKNOWN))
            submit(recipient_id, 2, 1, 1, marked=True)
        elif kind == "late":
            statuses.append(status(alert_id, recipient_id, Outcome.UNKNOWN))
            answer = random.choice([Outcome.ACCEPTED, Outcome.REFUSED, Outcome.REFUSED_FOR_NOW])
            statuses.append(status(alert_id, recipient_id, answer, late=True))
        elif kind in {"long", "one receipt"}:
            for segment in (1, 2, 3):
                submit(recipient_id, 1, segment, 3, marked=False, covers=kind != "long")
        if repeat and kind == "plain":
            submit(recipient_id, 1, 1, 1, marked=True)
    return statuses, receipts


async def test_overdue_receipts_are_flagged(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    accepted = (await connection.fetchval("SELECT accepted_at FROM alerts")).timestamp()
    await recorder.write([status(alert_id, 1, submitted_at=int(accepted * 1000)), status(alert_id, 2)], [receipt(2)])
    now = await connection.fetchval("SELECT accepted_at + interval '2 hours' FROM alerts")
    for exact in (False, True):
        late = await summary(connection, alert_id, exact=exact, now=now)
        early = await summary(connection, alert_id, exact=exact, now=now, receipt_deadline=timedelta(hours=3))
        assert (late.receipt_overdue, early.receipt_overdue) == (1, 0)
        assert late.counts[DeliveryState.SUBMITTED] == 1
