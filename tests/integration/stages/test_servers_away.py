"""A server that is frozen is named on /readyz, and the process that waits for it stays alive."""

from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from broadcast import metrics
from broadcast.alarms import SERVER_AWAY, list_alarms, raise_alarm
from broadcast.audit.watch.servers_away import alarm_kafka_away
from broadcast.database import connect
from broadcast.embedded.servers.kafka import Kafka
from broadcast.embedded.servers.postgres import Postgres
from broadcast.health import Health, server_watch
from broadcast.health.http_server import answer_probe
from broadcast.health.server_watch import watch_servers
from broadcast.kafka.topics import create_topics
from broadcast.settings import Settings
from tests.support.freezing import frozen
from tests.support.recorder_under_test import RecorderUnderTest
from tests.support.waiting import eventually, found_first

UNANSWERED = ["kafka unanswered", "postgresql unanswered"]
BUDGET_SECONDS = server_watch.ASK_SECONDS + server_watch.ANSWER_SECONDS + 2


def status(health: Health, path: str) -> HTTPStatus:
    answer = answer_probe(health, path)
    assert answer is not None
    return answer[0]


@pytest.mark.parametrize("database_needed", [True, False])
async def test_frozen_servers_are_named_within_the_budget_and_answer_again_after_it(
    settings: Settings, kafka_broker: Kafka, postgres_server: Postgres, database_needed: bool
) -> None:
    health = Health("watching")
    health.release("start")
    async with watch_servers(settings, health, database=database_needed):
        with frozen(kafka_broker.process.pid, postgres_server.process.pid):
            await eventually(
                lambda: sorted(health.holds | health.degraded) == UNANSWERED, within_seconds=BUDGET_SECONDS
            )
            assert ("postgresql unanswered" in health.holds) == database_needed
            assert status(health, "/readyz") == HTTPStatus.SERVICE_UNAVAILABLE
            assert status(health, "/healthz") == HTTPStatus.OK
        await eventually(lambda: health.ready() and not health.degraded, within_seconds=BUDGET_SECONDS)


async def test_kafka_away_is_an_alarm_that_says_since_when_until_it_answers(
    settings: Settings, kafka_broker: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcast.audit.watch.servers_away.AWAY_SECONDS", 1.0)
    await create_topics(settings, [])
    under_test = RecorderUnderTest(settings)
    opened = "SELECT detail FROM alarms WHERE kind = 'server_away' AND subject = 'kafka' AND cleared_at IS NULL"

    async def alarm() -> str | None:
        detail: str | None = await under_test.query(opened)
        return detail

    async def ended() -> bool:
        return await alarm() is None

    async with under_test.recorder(), watch_servers(settings, under_test.health, database=True):
        with frozen(kafka_broker.process.pid):
            detail = await found_first(alarm, within_seconds=BUDGET_SECONDS + 5)
            assert f"Kafka at {settings.kafka_bootstrap} has not answered the recorder since 20" in detail
        await eventually(ended, within_seconds=BUDGET_SECONDS)
        assert await under_test.query("SELECT cleared_by FROM alarms WHERE kind = 'server_away'") == "recorder"


@pytest.mark.parametrize(
    ("away_for", "kinds"), [(None, ["server_away"]), (0.0, []), (9.0, ["server_away"]), (11.0, ["server_away"])]
)
async def test_a_recorder_ends_the_alarm_only_when_kafka_answers_it(
    settings: Settings, away_for: float | None, kinds: list[str]
) -> None:
    health = Health("recorder", now=lambda: 100.0)
    if away_for == 0.0:
        health.found("kafka")
    elif away_for is not None:
        health.away_since["kafka"] = 100.0 - away_for
    connection = await connect(settings)
    try:
        await raise_alarm(connection, SERVER_AWAY, "kafka", "raised by another recorder")
        await alarm_kafka_away(connection, datetime.now(UTC), health, settings.kafka_bootstrap)
        assert [one.kind for one in await list_alarms(connection)] == kinds
    finally:
        await connection.close()


async def test_what_waits_in_kafka_while_postgresql_is_frozen_is_shown_as_it_is(
    settings: Settings, postgres_server: Postgres
) -> None:
    await create_topics(settings, [])
    under_test = RecorderUnderTest(settings)
    await under_test.make_alert(2_000)
    topic = under_test.names.statuses
    labels = {"topic": topic, "group": f"{settings.topic_prefix}recorder"}

    def shown(name: str, **labels: str) -> float:
        answer_probe(under_test.health, "/metrics")
        return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels) or 0.0

    async with (
        under_test.recorder(),
        watch_servers(settings, under_test.health, database=True, logs=under_test.health.logs),
    ):
        await under_test.send(topic, under_test.statuses([1]))
        await under_test.wait_for(queued=1_999, submitted=1)
        with frozen(postgres_server.process.pid):
            for partition in range(2):
                await under_test.send(topic, under_test.statuses(range(2, 1_002)), partition=partition)
            await eventually(lambda: shown("consumer_lag_records", **labels) >= 2_000)
            before = shown("audit_lag_seconds")
            await eventually(lambda: shown("audit_lag_seconds") > before)
        await eventually(lambda: shown("consumer_lag_records", **labels) == 0)
        assert shown("audit_lag_seconds") == 0
