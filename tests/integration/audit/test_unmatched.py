"""Receipts whose ids have another form than the answers: found, counted, and the rule to set is named."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit.receipts.unmatched import find_unmatched
from broadcast.audit.watch.sweep import sweep
from broadcast.smpp.codec.message_ids import MessageIdRule
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka


def now() -> datetime:
    """The instant, as the database has it too: this module may be imported long before its tests run."""
    return datetime.now(UTC)


def submitted() -> int:
    """Three minutes ago, in milliseconds since the epoch."""
    return int(now().timestamp() * 1000) - 180_000


def status(alert_id: UUID, number: int, message_id: str, **changes: int) -> Status:
    segment, segments = changes.get("segment", 1), changes.get("segments", 1)
    return Status(
        str(alert_id),
        number,
        1,
        Outcome.ACCEPTED,
        segment,
        segments,
        "sim",
        message_id,
        number,
        0,
        "",
        submitted(),
        submitted(),
    )


def receipt(number: int, message_id: str) -> Receipt:
    return Receipt("sim", message_id, ReceiptState.DELIVERED, number, received_at=submitted() + 50)


async def minutes_pass(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE parked_receipts SET parked_at = parked_at - interval '2 minutes'")


async def alarms(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("SELECT subject, detail FROM alarms WHERE kind = 'receipts_unmatched'")
    return [(row["subject"], row["detail"]) for row in rows]


async def test_the_rule_that_would_have_matched_is_named_and_alarmed(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(list(range(1, 31)))
    ids = {number: 0x812FC7470000001B + number for number in range(1, 31)}
    await recorder.write([status(alert_id, number, f"{one:X}") for number, one in ids.items()])
    await recorder.write(receipts=[receipt(number, str(one)) for number, one in ids.items()])
    await sweep(connection, now(), full=True)
    assert (await find_unmatched(connection, now()), await alarms(connection)) == ([], [])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now())
    assert (found.account, found.count, found.sampled, found.current.name) == ("sim", 30, 30, "as_is")
    assert [(rule.rule, count) for rule, count in found.rules] == [(MessageIdRule.HEX_TO_DECIMAL, 30)]
    await sweep(connection, now(), full=True)
    await sweep(connection, now(), full=True)
    ((subject, detail),) = await alarms(connection)
    assert subject == "sim"
    assert "30 receipts of account sim" in detail
    assert 'write message_id_rule = "hex_to_decimal" into account sim of the routes file' in detail


async def test_receipts_of_somebody_else_are_said_to_fit_no_rule(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(list(range(1, 31)))
    await recorder.write([status(alert_id, number, f"{number:X}") for number in range(1, 31)])
    await recorder.write(receipts=[receipt(number + 1000, f"{number:X}") for number in range(1, 31)])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now())
    assert (found.rules, found.fitting) == ([], [])
    assert "no id rule would match them" in found.advice


@pytest.mark.parametrize(("matching", "stray", "alarmed"), [(30, 19, False), (200, 30, False), (30, 30, True)])
async def test_an_alarm_needs_twenty_receipts_and_a_large_share(
    recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
    matching: int,
    stray: int,
    alarmed: bool,
) -> None:
    alert_id = await alerts.make(list(range(1, matching + 1)), chunk_size=1000)
    numbers = range(1, matching + 1)
    await recorder.write([status(alert_id, number, f"m{number}") for number in numbers])
    await recorder.write(
        receipts=[
            *(receipt(number, f"m{number}") for number in numbers),
            *(receipt(number, f"x{number}") for number in range(stray)),
        ]
    )
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert bool(await alarms(connection)) is alarmed


async def test_repeated_receipts_are_no_reason_for_an_alarm(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    numbers = range(1, 31)
    alert_id = await alerts.make(list(numbers))
    await recorder.write([status(alert_id, number, f"m{number}") for number in numbers])
    await recorder.write(receipts=[receipt(number, f"m{number}") for number in numbers])
    later = submitted() + 3_600_000
    again = [Receipt("sim", f"m{number}", ReceiptState.DELIVERED, number, received_at=later) for number in numbers]
    recorded = await recorder.write(receipts=again)
    assert recorded.parked == 30
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert (await find_unmatched(connection, now()), await alarms(connection)) == ([], [])


async def test_an_smsc_with_one_receipt_for_all_parts_is_seen(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    numbers = range(1, 31)
    alert_id = await alerts.make(list(numbers))
    global_ids = [(number, part) for number in numbers for part in (1, 2)]
    await recorder.write(
        [status(alert_id, number, f"m{number}.{part}", segment=part, segments=2) for number, part in global_ids]
    )
    await recorder.write(receipts=[receipt(number, f"m{number}.1") for number in numbers])
    await recorder.write(receipts=[receipt(1, "stray")])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now() + timedelta(minutes=15))
    assert (found.messages, found.with_one_receipt, found.one_receipt_for_all) == (30, 30, True)
    assert "of 30 messages with several parts 30 have a receipt for one part only" in found.advice
