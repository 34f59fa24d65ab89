"""A transaction that somebody leaves open keeps the recorder from reading what stands behind it."""

from http import HTTPStatus

import pytest

from broadcast import metrics
from broadcast.health.http_server import answer_probe
from broadcast.health.server_watch import watch_servers
from broadcast.kafka.clients import make_producer
from tests.support.recorder_under_test import RecorderUnderTest
from tests.support.waiting import eventually, found_first


async def test_statuses_behind_an_open_transaction_are_lag_and_their_markers_are_none(
    under_test: RecorderUnderTest,
) -> None:
    settings, statuses = under_test.settings, under_test.names.statuses
    labels = {"topic": statuses, "group": f"{settings.topic_prefix}recorder"}

    def shown(name: str, **labels: str) -> float:
        answer_probe(under_test.health, "/metrics")
        return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels) or 0.0

    def ready() -> bool:
        answer = answer_probe(under_test.health, "/readyz")
        assert answer is not None
        return answer[0] is HTTPStatus.OK

    await under_test.make_alert(3)
    stranger = make_producer(settings, transactional_id=f"{settings.topic_prefix}stranger")
    async with (
        under_test.recorder(),
        watch_servers(settings, under_test.health, database=True, logs=under_test.health.logs),
        stranger,
    ):
        under_test.health.stall_seconds = 1.0
        await under_test.send(statuses, under_test.statuses([1]))
        await under_test.wait_for(queued=2, submitted=1)
        await eventually(lambda: shown("consumer_lag_records", **labels) == 0)
        await stranger.begin_transaction()
        await stranger.send_and_wait(statuses, b"{}", partition=0)
        await under_test.send(statuses, under_test.statuses([2]))
        await eventually(lambda: not ready(), within_seconds=10)
        assert "3 records are left" in under_test.health.report()["holds"]["progress"]  # type: ignore[index]
        assert shown("consumer_lag_records", **labels) == 3
        assert shown("consumer_lag_seconds", **labels) > 0
        assert shown("audit_lag_seconds") > 0
        await stranger.abort_transaction()
        await under_test.wait_for(queued=1, submitted=2)
        await eventually(lambda: ready() and shown("consumer_lag_records", **labels) == 0)
        assert shown("audit_lag_seconds") == 0


async def test_a_transaction_that_stays_open_is_an_alarm_that_names_it_and_ends_with_it(
    under_test: RecorderUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcast.audit.watch.held_topics.HELD_SECONDS", 3.5)
    settings, names = under_test.settings, under_test.names
    stranger = make_producer(
        settings, transactional_id=f"{settings.topic_prefix}stranger", transaction_timeout_ms=60_000
    )

    async def alarm(topic: str) -> str | None:
        statement = "SELECT detail FROM alarms WHERE kind = $1 AND subject = $2 AND cleared_at IS NULL"
        detail: str | None = await under_test.query(statement, "open_transaction", topic)
        return detail

    async with under_test.recorder(), stranger:
        await under_test.send(names.statuses, [b"{}"], partition=2)
        await stranger.begin_transaction()
        await stranger.send_and_wait(names.statuses, b"{}", partition=2)
        await stranger.send_and_wait(names.alerts, b"{}", partition=0)
        await under_test.send(names.statuses, [b"{}"], partition=2)
        detail = await found_first(lambda: alarm(names.statuses), within_seconds=20)
        assert "partition 2 at offset 2 since 20" in detail
        assert "3 records wait" in detail
        assert f"transactional id '{settings.topic_prefix}stranger'" in detail
        assert "partition 0 at offset 0" in await found_first(lambda: alarm(names.alerts), within_seconds=10)
        assert await under_test.query("SELECT count(*) FROM alarms WHERE kind = 'open_transaction'") == 2
        await stranger.abort_transaction()

        async def ended() -> bool:
            return await alarm(names.statuses) is None and await alarm(names.alerts) is None

        await eventually(ended, within_seconds=20)
