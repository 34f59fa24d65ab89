"""Alarms on shares of failed and unreached submits, from what a recorder has written."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from broadcast.alarms import clear_alarms, list_alarms
from broadcast.alerts.queries import find_alert
from broadcast.audit.watch.outcome_alarms import OutcomeWatch
from broadcast.audit.watch.sweep import sweep
from broadcast.clock import epoch_milliseconds
from broadcast.routes_file import load_routes
from broadcast.routing import check_routes
from broadcast.settings import Settings
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

ROUTES = """
[[routes]]
name = "home"
prefixes = ["+"]
accounts = [
    { name = "a", host = "127.0.0.1", port = 2775, system_id = "a", password = "p", operator = "north" },
    { name = "b", host = "127.0.0.1", port = 2775, system_id = "b", password = "p", operator = "north" },
]
"""
RINVDSTADR = 0x0B


def watch() -> OutcomeWatch:
    reading = check_routes(ROUTES, {}, with_passwords=False)
    assert not reading.faults
    return OutcomeWatch(Settings(), reading.routes)


def statuses(
    alert_id: UUID, numbers: Sequence[int], outcome: Outcome, *, account: str = "a", segments: int = 1
) -> list[Status]:
    now = epoch_milliseconds()
    return [
        Status(
            str(alert_id),
            number,
            1,
            outcome,
            segment=segment,
            segments=segments,
            account=account,
            message_id=f"{number}-{segment}" if outcome is Outcome.ACCEPTED else "",
            number_hash=number,
            error=RINVDSTADR if outcome is Outcome.REFUSED else 0,
            submitted_at=now,
            at=now,
        )
        for number in numbers
        for segment in range(1, segments + 1)
    ]


def receipts(numbers: Sequence[int], state: ReceiptState, *, segment: int = 1, error: str = "") -> list[Receipt]:
    now = epoch_milliseconds()
    return [Receipt("a", f"{number}-{segment}", state, number, received_at=now, error=error) for number in numbers]


async def look(connection: asyncpg.Connection, *, after: float = 0) -> dict[str, dict[str, str]]:
    """The details of the open alarms by kind and subject, after a look at an instant so many seconds from now."""
    await watch().look(connection, datetime.now(UTC) + timedelta(seconds=after))
    found: dict[str, dict[str, str]] = {}
    for alarm in await list_alarms(connection):
        found.setdefault(alarm.kind, {})[alarm.subject] = alarm.detail
    return found


async def test_a_refused_alert_is_an_alarm_that_says_how_many_why_and_by_which_account(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = range(1, 201)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people[:99], Outcome.REFUSED))
    assert await look(connection) == {}
    await recorder.write(statuses(alert_id, people[99:150], Outcome.REFUSED))
    found = await look(connection)
    detail = found["alert_failing"][str(alert_id)]
    assert detail.startswith("0 of 200 recipients are reached")
    assert "150 of 150 submits" in detail
    assert "refused: ESME_RINVDSTADR 150" in detail
    assert "Accounts: a 150" in detail
    assert list(found["account_failing"]) == ["a"]
    assert "operator_failing" not in found


@pytest.mark.parametrize(("simulated", "reached"), [("none", 100), ("partly", 100), ("all", 0)])
async def test_nobody_is_called_reached_whose_alert_went_by_a_simulator(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, simulated: str, reached: int
) -> None:
    people = range(1, 201)
    alert_id = await alerts.make(people)
    await connection.execute("UPDATE alerts SET simulated = $1", simulated)
    await recorder.write(statuses(alert_id, people[:100], Outcome.ACCEPTED))
    await recorder.write(
        statuses(alert_id, people[100:], Outcome.REFUSED), receipts(people[:100], ReceiptState.DELIVERED)
    )
    detail = (await look(connection))["alert_failing"][str(alert_id)]
    assert detail.startswith(f"{reached} of 200 recipients are reached")


async def test_an_operator_is_an_alarm_where_no_account_has_enough_by_itself(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(range(1, 161))
    await recorder.write(statuses(alert_id, range(1, 81), Outcome.REFUSED))
    await recorder.write(statuses(alert_id, range(81, 161), Outcome.REFUSED, account="b"))
    found = await look(connection)
    assert "account_failing" not in found
    assert list(found["operator_failing"]) == ["north"]


async def test_receipts_count_whether_they_come_before_with_or_after_their_status(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = range(1, 301)
    alert_id = await alerts.make(people)
    undelivered = receipts(people, ReceiptState.UNDELIVERABLE, error="011")
    await recorder.write([], undelivered[:100])
    await recorder.write(statuses(alert_id, people, Outcome.ACCEPTED), undelivered[100:200])
    await recorder.write([], undelivered[200:])
    detail = (await look(connection))["alert_failing"][str(alert_id)]
    assert "300 of 300 submits were refused, not sent or reported undelivered" in detail
    assert "receipt undeliverable, error 011 300" in detail


async def test_receipts_count_whatever_clock_the_host_of_the_recorder_has(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Ahead":
            return cls.fromtimestamp(time.time() + 1800, tz)

    people = range(1, 201)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people, Outcome.ACCEPTED))
    with monkeypatch.context() as patched:
        patched.setattr("broadcast.clock.datetime", Ahead)
        await recorder.write([], receipts(people, ReceiptState.DELIVERED))
    assert await look(connection, after=46) == {}


@pytest.mark.parametrize(("state", "stopped"), [("cancelled", False), ("superseded", False), ("completed", True)])
async def test_an_alert_that_was_withdrawn_is_not_failing(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, state: str, stopped: bool
) -> None:
    people = range(1, 201)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people, Outcome.REFUSED))
    assert "alert_failing" in await look(connection)
    await connection.execute("UPDATE alerts SET state = $1, stopped_at = CASE WHEN $2 THEN now() END", state, stopped)
    assert list(await look(connection)) == ["account_failing"]


async def test_an_alert_without_receipts_is_an_alarm_once_they_are_due_and_ends_when_they_come(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = range(1, 201)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people, Outcome.ACCEPTED))
    assert await look(connection, after=35) == {}
    found = await look(connection, after=46)
    assert "200 have none at all" in found["alert_failing"][str(alert_id)]
    await recorder.write([], receipts(people[:160], ReceiptState.DELIVERED))
    assert await look(connection, after=46) == {}
    row = await find_alert(connection, alert_id)
    assert row is not None
    assert row.reached == 160


async def test_a_person_who_clears_an_alarm_is_told_again_only_of_later_submits(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = range(1, 201)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people, Outcome.REFUSED))
    await look(connection)
    await clear_alarms(connection, [alarm.id for alarm in await list_alarms(connection)], "somebody")
    assert await look(connection) == {}


async def test_the_segments_of_a_long_text_are_counted_each(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = range(1, 101)
    alert_id = await alerts.make(people)
    await recorder.write(statuses(alert_id, people, Outcome.ACCEPTED, segments=2))
    await recorder.write([], receipts(people, ReceiptState.DELIVERED))
    assert "100 of 200 submits have no receipt" in (await look(connection, after=46))["alert_failing"][str(alert_id)]
    await recorder.write([], receipts(people, ReceiptState.DELIVERED, segment=2))
    assert await look(connection, after=46) == {}


async def test_a_finished_alert_is_logged_with_how_many_were_reached(
    recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
) -> None:
    alert_id = await alerts.make([1, 2])
    await recorder.write(statuses(alert_id, [1, 2], Outcome.ACCEPTED), receipts([1], ReceiptState.DELIVERED))
    with capture_logs() as logged:
        await sweep(connection, datetime.now(UTC))
    [event] = [each for each in logged if each["event"] == "alert_finished"]
    assert (event["recipients"], event["reached"]) == (2, 1)


def test_accounts_are_those_of_the_routes_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(ROUTES)
    settings = Settings(routes_file=file)
    watched = OutcomeWatch(settings, load_routes(settings))
    assert watched.accounts["b"].operator == "north"
    file.write_text(ROUTES.replace('"b", password = "p", operator = "north"', '"b", password = "p", receipts = false'))
    os.utime(file, ns=(1, 1))
    watched.refresh()
    assert (watched.accounts["b"].operator, watched.accounts["b"].receipts) == ("b", False)
    file.write_text("wrong")
    watched.refresh()
    assert not watched.accounts["b"].receipts
