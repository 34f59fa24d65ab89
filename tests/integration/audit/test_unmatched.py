"""Receipts whose ids have another form than the answers: found, counted, and the rule to set is named."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from broadcast import metrics
from broadcast.audit import rebuild_check
from broadcast.audit.receipt_owner import LONGEST_WAIT
from broadcast.audit.receipts.unmatched import SAMPLE, find_unmatched
from broadcast.audit.watch.sweep import sweep
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids, normalise_response_ids
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

    def receipt(self, number: int, message_id: str, after: int = 50, id_rule: str = "") -> Receipt:
        at = self.submitted_at + after
        return Receipt("sim", message_id, ReceiptState.DELIVERED, number, received_at=at, id_rule=id_rule)

    async def record(
        self, recorder: RecorderWithoutKafka, alerts: Alerts, ids: dict[int, int], rule: MessageIdRule, after: int
    ) -> None:
        """Submits whose ids the SMSC answers in hex, and its receipts in decimal, by an account with this rule."""
        alert_id = await alerts.make(list(ids), chunk_size=1000)
        answered = normalise_response_ids([b"%X" % one for one in ids.values()], rule)
        told = normalise_receipt_ids([b"%d" % one for one in ids.values()], rule)
        await recorder.write(
            [
                self.status(alert_id, number, one.decode(), after=after)
                for number, one in zip(ids, answered, strict=True)
            ]
        )
        await recorder.write(
            receipts=[
                self.receipt(number, one.decode(), after + 50, rule.value if rule is not MessageIdRule.AS_IS else "")
                for number, one in zip(ids, told, strict=True)
            ]
        )


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


async def test_a_receipt_of_a_killed_sender_is_waited_for_as_long_as_an_attempt_may_have_it(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    alert_id = await alerts.make([1])
    await recorder.write([traffic.status(alert_id, 1, "again")])
    await recorder.write(receipts=[traffic.receipt(1, "again"), traffic.receipt(1, "in doubt at the kill")])

    async def metrics_say() -> tuple[float | None, float | None]:
        await sweep(connection, now(), full=True)
        sample = metrics.REGISTRY.get_sample_value
        parked = sample("tocsin_receipts_parked")
        return parked, sample("tocsin_receipts_unmatched", {"account": "sim", "age": "1d"})

    await connection.execute("UPDATE parked_receipts SET parked_at = parked_at - interval '6 days'")
    assert await metrics_say() == (1, 1)
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.given_up) == (1, 0)
    await connection.execute("UPDATE parked_receipts SET parked_at = parked_at - interval '1 day'")
    assert await metrics_say() == (0, None)
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.given_up, found.sampled) == (0, 1, 0)
    assert found.advice == "1 came more than 7 days ago, and no attempt can have them any more: nothing is to be done"
    rebuilt = await rebuild_check(connection)
    assert (rebuilt.parked, rebuilt.faults) == (1, []), "the audit keeps it"


def ids_of(numbers: range) -> dict[int, int]:
    """Ids whose decimal and hexadecimal forms both fit several rules."""
    return {number: 0x812FC7470000001B + 977 * number for number in numbers}


async def test_what_was_counted_and_what_was_looked_at_are_said_apart(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 621)), MessageIdRule.AS_IS, 0)
    await minutes_pass(connection)
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.sampled) == (620, SAMPLE)
    assert found.advice.startswith("of the newest 500 looked at none matched with as_is, 500 would with hex_to_decimal")


async def test_receipts_and_answers_that_came_one_by_one_are_all_looked_at(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    for number, message_id in ids_of(range(1, 121)).items():
        await traffic.record(recorder, alerts, {number: message_id}, MessageIdRule.AS_IS, number)
    await minutes_pass(connection)
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.sampled) == (120, 120)
    assert found.rules[0][1] == 120, "the answer to each of them is found"
    assert found.advice.startswith("of the newest 120 looked at none matched with as_is, 120 would with hex_to_decimal")


async def test_the_alarm_is_not_raised_again_by_what_came_before_it_was_cleared(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 41)), MessageIdRule.AS_IS, 0)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert len(await alarms(connection)) == 1
    await connection.execute("UPDATE alarms SET cleared_at = now(), cleared_by = 'a person'")
    await sweep(connection, now(), full=True)
    assert len(await alarms(connection)) == 1, "no receipt came since"
    await traffic.record(recorder, alerts, ids_of(range(41, 81)), MessageIdRule.AS_IS, 1_000)
    await connection.execute("UPDATE alarms SET cleared_at = cleared_at - interval '3 minutes'")
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    _, (_, detail) = await alarms(connection)
    assert "40 receipts of account sim" in detail, "those that came since"


async def test_the_alarm_ends_when_receipts_match_with_the_rule_that_was_set(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 41)), MessageIdRule.AS_IS, 0)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    await traffic.record(recorder, alerts, ids_of(range(41, 44)), MessageIdRule.HEX_TO_DECIMAL, 1_000)
    await sweep(connection, now(), full=True)
    assert await connection.fetchval("SELECT cleared_by FROM alarms WHERE kind = 'receipts_unmatched'") == "recorder"
    await sweep(connection, now(), full=True)
    assert len(await alarms(connection)) == 1


async def test_a_wrong_rule_gets_the_same_advice_from_the_alarm_and_from_the_command(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 401)), MessageIdRule.AS_IS, 0)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    [(_, first)] = await alarms(connection)
    assert "400 receipts" in first
    await traffic.record(recorder, alerts, ids_of(range(401, 431)), MessageIdRule.DECIMAL_TO_HEX, 1_000)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.sampled, found.current.name) == (430, 30, "decimal_to_hex")
    assert found.fitting[0].rule is MessageIdRule.HEX_TO_DECIMAL
    [(_, detail)] = await alarms(connection)
    assert found.advice in detail, "an open alarm says what is known now"


async def test_after_the_right_rule_is_set_nothing_more_is_advised(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 41)), MessageIdRule.AS_IS, 0)
    await traffic.record(recorder, alerts, ids_of(range(41, 61)), MessageIdRule.HEX_TO_DECIMAL, 1_000)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert await alarms(connection) == []
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.current.name, found.in_force.name) == (40, "as_is", "hex_to_decimal")
    assert found.advice.startswith(
        "40 of the newest 40 looked at came before hex_to_decimal was in force, and were read with as_is: nothing is "
        "to be done for new ones; they stay listed until "
    )


async def test_the_rule_in_force_is_that_of_the_newest_receipt_whoever_recorded_it_and_whether_it_matched(
    recorder: RecorderWithoutKafka,
    other_recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
    traffic: Traffic,
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 352)), MessageIdRule.AS_IS, 0)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert len(await alarms(connection)) == 1
    await connection.execute("DELETE FROM alarms")
    await traffic.record(recorder, alerts, ids_of(range(401, 763)), MessageIdRule.HEX_TO_DECIMAL, 1_000)
    # Another recorder has the receipts of other accounts: its segments have higher ids, and are many.
    for number in range(15):
        other = Receipt("beta-1", f"b{number}", ReceiptState.DELIVERED, 9_000, received_at=traffic.submitted_at + 2_000)
        await other_recorder.write(receipts=[other])
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert await alarms(connection) == [], "what came before the rule was set says nothing about it"
    [found] = await find_unmatched(connection, now(), "sim")
    assert (found.count, found.current.name, found.in_force.name) == (351, "as_is", "hex_to_decimal")
    until = found.newest + LONGEST_WAIT
    assert found.advice == (
        "351 of the newest 351 looked at came before hex_to_decimal was in force, and were read with as_is: nothing is "
        f"to be done for new ones; they stay listed until {until:%Y-%m-%d %H:%M}, when they are given up"
    )


async def test_a_few_receipts_that_miss_the_rule_in_force_do_not_raise_the_alarm_of_those_before_it(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    await traffic.record(recorder, alerts, ids_of(range(1, 352)), MessageIdRule.AS_IS, 0)
    await traffic.record(recorder, alerts, ids_of(range(401, 441)), MessageIdRule.HEX_TO_DECIMAL, 1_000)
    # Their messages were sent before the change: their answers were read with as_is.
    late = [traffic.receipt(number, f"{number}000000", 2_000, "hex_to_decimal") for number in range(500, 505)]
    await recorder.write(receipts=late)
    await minutes_pass(connection)
    await sweep(connection, now(), full=True)
    assert await alarms(connection) == []
    [found] = await find_unmatched(connection, now())
    assert (found.count, found.earlier, found.sampled, found.current.name) == (356, 351, 5, "hex_to_decimal")
    assert "351 of the newest 356 looked at came before hex_to_decimal was in force" in found.advice
    assert "5 were read with hex_to_decimal" in found.advice
    assert "another system" not in found.advice


async def test_receipts_of_somebody_else_are_said_to_fit_no_rule(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, traffic: Traffic
) -> None:
    alert_id = await alerts.make(list(range(1, 31)))
    await recorder.write([traffic.status(alert_id, number, f"{number:X}") for number in range(1, 31)])
    await recorder.write(receipts=[traffic.receipt(number + 1000, f"{number:X}") for number in range(1, 31)])
    await minutes_pass(connection)
    (found,) = await find_unmatched(connection, now())
    assert (found.rules, found.fitting) == ([], [])
    assert "no id rule would match half" in found.advice


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
    assert "of 30 messages with several parts 30 had a receipt for one part only" in found.advice


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
