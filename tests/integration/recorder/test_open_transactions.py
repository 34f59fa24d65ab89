"""A transaction that somebody leaves open keeps the recorder from reading what stands behind it."""

from http import HTTPStatus

from broadcast import metrics
from broadcast.health.http_server import answer_probe
from broadcast.health.server_watch import watch_servers
from broadcast.kafka.clients import make_producer
from tests.support.recorder_under_test import RecorderUnderTest
from tests.support.waiting import eventually


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
