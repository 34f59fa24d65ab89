"""What is recorded for a completed alert raises an alarm at once, unless a doubt or another route explains it."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit.watch.sweep import sweep
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

T = 1_760_000_000_000


def status(alert_id: UUID, recipient_id: int, attempt: int = 1, **changes: object) -> Status:
    values: dict[str, object] = {"outcome": Outcome.ACCEPTED, "account": "sim", "number_hash": recipient_id}
    values |= {"message_id": f"m{recipient_id}-{attempt}", "submitted_at": T + attempt, "at": T + attempt}
    return Status(alert_id=str(alert_id), recipient_id=recipient_id, attempt=attempt, **(values | changes))  # type: ignore[arg-type]


async def alarms(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("SELECT kind, detail FROM alarms ORDER BY kind")
    return [(row["kind"], row["detail"]) for row in rows]


@pytest.fixture
async def completed(recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection) -> UUID:
    """An alert to 1, 2 and 3 that is completed; of the submit to 3 nobody knows."""
    alert_id = await alerts.make([1, 2, 3])
    await recorder.write([status(alert_id, 1), status(alert_id, 2), status(alert_id, 3, outcome=Outcome.UNKNOWN)])
    await sweep(connection, datetime.now(UTC))
    assert await connection.fetchval("SELECT completed_at IS NOT NULL FROM alerts WHERE alert_id = $1", alert_id)
    assert await alarms(connection) == []
    return alert_id


async def test_a_second_message_to_one_of_the_audience_is_an_alarm(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection, completed: UUID
) -> None:
    await recorder.write([status(completed, 1, 2)])
    [(kind, detail)] = await alarms(connection)
    assert kind == "submitted_after_completion"
    assert detail.startswith("1 recipient got a message after the alert was completed")


@pytest.mark.parametrize("recipient_id", [7, 1])
async def test_a_first_attempt_is_a_gap_too(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection, completed: UUID, recipient_id: int
) -> None:
    """At somebody outside of the audience, or once more at somebody in it: as a forged job has it."""
    await recorder.write([status(completed, recipient_id)])
    (first, _), (second, gap) = await alarms(connection)
    assert (first, second) == ("submitted_after_completion", "sum_gap")
    assert gap.startswith("1 more recipients have an outcome than the audience of 3 holds")


async def test_what_a_doubt_or_another_route_explains_is_none(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection, completed: UUID
) -> None:
    await recorder.write([status(completed, 3, 1, late=True)])
    await recorder.write([status(completed, 3, 2, possible_duplicate=True)])
    await connection.execute(
        "INSERT INTO undelivered (alert_id, recipient_id, route, attempt, claimed_at) VALUES ($1, 2, 'b', 2, now())",
        completed,
    )
    await recorder.write([status(completed, 2, 2)])
    await recorder.write([status(completed, 2, 3, outcome=Outcome.CANCELLED, submitted_at=0)])
    assert await alarms(connection) == []
