"""The sweep finishes alerts and raises alarms; it never changes what was sent."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from broadcast.audit.codes import POSSIBLE_DUPLICATES
from broadcast.audit.deliveries.summary import summary
from broadcast.audit.watch.backlog import OPEN_ALERTS, QueuedSince, alarm_queued_without_work
from broadcast.audit.watch.sweep import sweep
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

NOW = datetime.now(UTC)


def status(alert_id: UUID, recipient_id: int, outcome: Outcome = Outcome.REFUSED) -> Status:
    return Status(str(alert_id), recipient_id, 1, outcome, at=1)


async def state_of(connection: asyncpg.Connection, alert_id: UUID) -> tuple[str, bool]:
    row = await connection.fetchrow("SELECT state, completed_at FROM alerts WHERE alert_id = $1", alert_id)
    assert row is not None
    return row["state"], row["completed_at"] is not None


async def kinds(connection: asyncpg.Connection) -> list[str]:
    return [row["kind"] for row in await connection.fetch("SELECT kind FROM alarms ORDER BY kind")]


async def test_an_alert_is_completed_when_nobody_is_queued(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3], suppressed={3: "opted out"})
    await recorder.write([status(alert_id, 1)])
    await sweep(connection, NOW)
    assert await state_of(connection, alert_id) == ("sending", False)
    await recorder.write([status(alert_id, 2)])
    await sweep(connection, NOW)
    assert await state_of(connection, alert_id) == ("completed", True)
    assert await kinds(connection) == []


async def test_an_alert_that_expired_before_it_was_done_is_expired(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2], expires_at=NOW)
    await recorder.write([status(alert_id, 1), status(alert_id, 2, Outcome.EXPIRED)])
    await sweep(connection, NOW + timedelta(seconds=1))
    assert await state_of(connection, alert_id) == ("expired", True)
    assert await kinds(connection) == ["alert_not_sent"]


async def test_who_may_have_been_sent_by_a_sender_that_ended_is_not_called_sent_twice(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3, 4], expires_at=NOW)
    unsure = Status(str(alert_id), 1, 1, Outcome.UNKNOWN, at=1, possible_duplicate=True, reason="expired")
    await recorder.write(
        [
            unsure,
            Status(str(alert_id), 2, 1, Outcome.REFUSED_FOR_NOW, submitted_at=1, at=1, account="sim"),
            replace(unsure, recipient_id=2, attempt=2),
            replace(unsure, recipient_id=3, submitted_at=1, account="sim"),
            Status(str(alert_id), 4, 1, Outcome.ACCEPTED, submitted_at=1, at=1, account="sim"),
        ]
    )
    await sweep(connection, NOW + timedelta(seconds=1))
    found = await summary(connection, alert_id)
    assert (found.counts[DeliveryState.UNKNOWN], found.unrecorded_submits, found.maybe_twice) == (3, 1, 2)
    assert await state_of(connection, alert_id) == ("expired", True)
    detail = await connection.fetchval("SELECT detail FROM alarms WHERE kind = 'alert_not_sent'")
    assert detail.startswith("Of 1 of 4 recipients nothing is known to be sent: ")
    assert "warn them in another way" in detail


async def test_an_alert_that_expires_before_its_audience_is_found_raises_an_alarm(
    alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1], expires_at=NOW, state="accepted")
    await connection.execute("UPDATE alerts SET audience = NULL WHERE alert_id = $1", alert_id)
    await sweep(connection, NOW + timedelta(seconds=61))
    assert await state_of(connection, alert_id) == ("expired", True)
    assert await kinds(connection) == ["alert_not_sent"]


@pytest.mark.parametrize("state", ["cancelled", "superseded"])
async def test_a_withdrawn_alert_keeps_its_state_and_is_done(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, state: str
) -> None:
    alert_id = await alerts.make([1], state=state)
    await sweep(connection, NOW)
    assert await state_of(connection, alert_id) == (state, False)
    await recorder.write([status(alert_id, 1, Outcome.CANCELLED)])
    await sweep(connection, NOW)
    assert await state_of(connection, alert_id) == (state, True)


@pytest.mark.parametrize("state", ["cancelled", "superseded"])
async def test_who_is_not_sent_what_was_withdrawn_is_no_alarm(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, state: str
) -> None:
    alert_id = await alerts.make([1, 2], state=state, expires_at=NOW)
    unsure = replace(status(alert_id, 2, Outcome.UNKNOWN), possible_duplicate=True, reason="stopped")
    await recorder.write([status(alert_id, 1, Outcome.EXPIRED), unsure])
    await sweep(connection, NOW + timedelta(seconds=1))
    assert await state_of(connection, alert_id) == (state, True)
    assert await kinds(connection) == []


async def test_somebody_queued_past_expiry_is_one_alarm_and_nothing_is_sent(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2], expires_at=NOW)
    await recorder.write([status(alert_id, 1)])
    await sweep(connection, NOW + timedelta(seconds=30))
    assert await kinds(connection) == []
    for _ in range(2):
        await sweep(connection, NOW + timedelta(seconds=61))
    assert await kinds(connection) == ["queued_past_expiry"]
    assert await connection.fetchval("SELECT count(*) FROM attempts") == 1
    assert await state_of(connection, alert_id) == ("expired", False)
    await recorder.write([status(alert_id, 2)])
    await sweep(connection, NOW + timedelta(seconds=62))
    assert await state_of(connection, alert_id) == ("expired", True)


async def test_more_outcomes_than_people_is_an_alarm(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    await recorder.write([status(alert_id, 1), status(alert_id, 2)])
    await sweep(connection, NOW)
    assert await kinds(connection) == ["sum_gap"]
    assert await state_of(connection, alert_id) == ("sending", False)


async def test_what_was_withdrawn_before_it_had_an_audience_is_done_when_it_expires(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1], state="cancelled", expires_at=NOW)
    await connection.execute("UPDATE alerts SET audience = NULL, suppressed = NULL, expanded_at = NULL")
    await sweep(connection, NOW + timedelta(seconds=1))
    assert await state_of(connection, alert_id) == ("cancelled", False)
    await sweep(connection, NOW + timedelta(seconds=61))
    assert await state_of(connection, alert_id) == ("cancelled", True)


async def test_the_sweep_reads_open_alerts_by_their_index(alerts: Alerts, connection: asyncpg.Connection) -> None:
    await alerts.make([1])
    plan = await connection.fetch(f"EXPLAIN {OPEN_ALERTS}", POSSIBLE_DUPLICATES, 0, 0)
    assert any("alerts_open" in row[0] for row in plan), plan


async def test_a_lost_chunk_is_an_alarm_and_no_completion(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3, 4])
    await connection.execute("DELETE FROM chunks WHERE chunk = 1")
    await recorder.write([status(alert_id, number) for number in (1, 2, 3, 4)])
    await sweep(connection, NOW)
    assert await kinds(connection) == ["sum_gap"]
    assert await state_of(connection, alert_id) == ("sending", False)


async def test_what_is_recorded_while_the_work_is_counted_was_not_without_work(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2])
    queued_since = QueuedSince()

    async def count_work() -> int:
        await recorder.write([status(alert_id, 1), status(alert_id, 2)])
        return 0

    await alarm_queued_without_work(connection, NOW, queued_since, count_work)
    for seconds in (60, 120, 180):
        await alarm_queued_without_work(connection, NOW + timedelta(seconds=seconds), queued_since, count_work)
    assert await kinds(connection) == []


@pytest.mark.parametrize(("left", "raised"), [(0, ["queued_without_lag"]), (3, []), (None, [])])
async def test_somebody_queued_without_a_job_is_an_alarm_after_a_while(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, left: int | None, raised: list[str]
) -> None:
    asked: list[datetime] = []
    queued_since = QueuedSince()

    async def look(seconds: int) -> list[str]:
        async def count_work() -> int | None:
            asked.append(NOW)
            return left

        await alarm_queued_without_work(connection, NOW + timedelta(seconds=seconds), queued_since, count_work)
        return await kinds(connection)

    alert_id = await alerts.make([1, 2, 3])
    assert await look(0) == []
    await recorder.write([status(alert_id, 1)])
    assert await look(29) == []
    assert await look(58) == []
    assert asked == []
    assert await look(59) == []
    assert await look(88) == []
    assert await look(89) == raised
    assert await look(90) == raised
    assert len(asked) == 2
    await recorder.write([status(alert_id, 2), status(alert_id, 3)])
    await look(91)
    assert await connection.fetchval("SELECT count(*) FROM alarms WHERE cleared_at IS NULL") == 0


async def test_an_alert_whose_row_is_locked_holds_up_no_other(
    recorder: RecorderWithoutKafka,
    other_recorder: RecorderWithoutKafka,
    alerts: Alerts,
    connection: asyncpg.Connection,
) -> None:
    locked, free = await alerts.make([1]), await alerts.make([2])
    await recorder.write([status(locked, 1), status(free, 2)])
    async with other_recorder.connection.transaction():
        await other_recorder.connection.execute("SELECT FROM alerts WHERE alert_id = $1 FOR UPDATE", locked)
        await sweep(connection, NOW)
        assert await state_of(connection, free) == ("completed", True)
        assert await state_of(connection, locked) == ("sending", False)
    await sweep(connection, NOW)
    assert await state_of(connection, locked) == ("completed", True)
