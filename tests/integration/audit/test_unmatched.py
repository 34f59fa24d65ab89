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


class Traffic:
    """Statuses and receipts of account `sim`, submitted at one instant: three minutes ago."""

    def __init__(self) -> None:
        self.submitted_at = int(now().timestamp() * 1000) - 180_000

    def status(
        self,
        alert_id: UUID,
        number: int,
        message_id: str,
        *,
        segment: int = 1,
        segments: int = 1,
        attempt: int = 1,
        after: int = 0,
    ) -> Status:
        at = self.submitted_at + after
        sent = str(alert_id), number, attempt, Outcome.ACCEPTED, segment, segments
        return Status(*sent, "sim", message_id, number_hash=number, submitted_at=at, at=at)

    def receipt(self, number: int, message_id: str, after: int = 50) -> Receipt:
        return Receipt("sim", message_id, ReceiptState.DELIVERED, number, received_at=self.submitted_at + after)


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


async def minutes_pass(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE parked_receipts SET parked_at = parked_at - interval '2 minutes'")


async def alarms(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("SELECT subject, detail FROM alarms WHERE kind = 'receipts_unmatched'")
    return [(row["subject"], row["detail"]) for row in rows]


async def test_the_rule_that_would_have_matched_is_named_and_alarmed(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    alert_id = await alerts.make(list(range(1, 31)))
    ids = {number: 0x812FC7470000001B + number for number in range(1, 31)}
    await recorder.write([traffic.status(alert_id, number, f"{one:X}") for number, one in ids.items()])
    await recorder.write(receipts=[traffic.receipt(number, str(one)) for number, one in ids.items()])
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
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    alert_id = await alerts.make(list(range(1, 31)))
    await recorder.write([traffic.status(alert_id, number, f"{number:X}") for number in range(1, 31)])
    await recorder.write(receipts=[traffic.receipt(number + 1000, f"{number:X}") for number in range(1, 31)])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now())
    assert (found.rules, found.fitting) == ([], [])
    assert "no id rule would match them" in found.advice


@pytest.mark.parametrize(("matching", "stray", "alarmed"), [(30, 19, False), (200, 30, False), (30, 30, True)])
async def test_an_alarm_needs_twenty_receipts_and_a_large_share(
    recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
    traffic: Traffic,
    matching: int,
    stray: int,
    alarmed: bool,
) -> None:
    alert_id = await alerts.make(list(range(1, matching + 1)), chunk_size=1000)
    numbers = range(1, matching + 1)
    await recorder.write([traffic.status(alert_id, number, f"m{number}") for number in numbers])
    await recorder.write(
        receipts=[
            *(traffic.receipt(number, f"m{number}") for number in numbers),
            *(traffic.receipt(number, f"x{number}") for number in range(stray)),
        ]
    )
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert bool(await alarms(connection)) is alarmed


async def test_repeated_receipts_are_no_reason_for_an_alarm(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    numbers = range(1, 31)
    alert_id = await alerts.make(list(numbers))
    await recorder.write([traffic.status(alert_id, number, f"m{number}") for number in numbers])
    await recorder.write(receipts=[traffic.receipt(number, f"m{number}") for number in numbers])
    again = [traffic.receipt(number, f"m{number}", after=3_600_000) for number in numbers]
    recorded = await recorder.write(receipts=again)
    assert recorded.parked == 30
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert (await find_unmatched(connection, now()), await alarms(connection)) == ([], [])


async def test_an_smsc_with_one_receipt_for_all_parts_is_seen(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    numbers = range(1, 31)
    alert_id = await alerts.make(list(numbers))
    # Parts of one message may go in two passes (a throttled part goes again) or, refused for now, by two attempts.
    for part, attempt in ((1, 1), (2, 1), (3, 2)):
        await recorder.write(
            [
                traffic.status(
                    alert_id, number, f"m{number}.{part}", segment=part, segments=3, attempt=attempt, after=part
                )
                for number in numbers
            ]
        )
    await recorder.write(receipts=[traffic.receipt(number, f"m{number}.1") for number in numbers])
    await recorder.write(receipts=[traffic.receipt(1, "stray")])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now() + timedelta(minutes=15))
    assert (found.messages, found.with_one_receipt, found.one_receipt_for_all) == (30, 30, True)
    assert "of 30 messages with several parts 30 have a receipt for one part only" in found.advice


async def test_two_copies_of_one_message_say_nothing_about_receipts_for_parts(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    alert_id = await alerts.make([1])
    copies = [(attempt, part) for attempt in (1, 2) for part in (1, 2)]
    await recorder.write(
        [
            traffic.status(alert_id, 1, f"m{attempt}.{part}", segment=part, segments=2, attempt=attempt)
            for attempt, part in copies
        ]
    )
    await recorder.write(receipts=[traffic.receipt(1, "m1.1"), traffic.receipt(1, "stray")])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now() + timedelta(minutes=15))
    assert (found.messages, found.with_one_receipt) == (0, 0)
