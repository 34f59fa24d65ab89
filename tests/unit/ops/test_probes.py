"""What `/healthz`, `/readyz` and `/metrics` answer, without a socket."""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus

import pytest

from broadcast import metrics
from broadcast.health import Health, http_server
from broadcast.health.http_server import CONNECTIONS_MAX, METRICS_SECONDS, Probes, _reply, answer_probe, serve


def ask(health: Health, path: str) -> tuple[HTTPStatus, dict[str, object]]:
    answer = answer_probe(health, path)
    assert answer is not None
    return answer[0], json.loads(answer[2])


def test_readiness_is_held_until_released() -> None:
    health = Health("sender")
    status, body = ask(health, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert body["holds"] == {"start": "starting"}
    assert ask(health, "/healthz")[0] == HTTPStatus.OK
    health.release("start")
    assert ask(health, "/readyz") == (HTTPStatus.OK, health.report())


def test_a_stall_is_named_and_not_ready_but_alive() -> None:
    now = 100.0
    health = Health("recorder", now=lambda: now)
    health.release("start")
    health.behind("g", {"statuses": 7, "receipts": 0})
    now += 60.0
    assert ask(health, "/healthz")[0] == HTTPStatus.OK, "who waits for others is not to be ended"
    status, body = ask(health, "/readyz")
    assert (status, body["lag"], body["stalled_seconds"]) == (HTTPStatus.SERVICE_UNAVAILABLE, 7, 60.0)
    assert body["holds"] == {"progress": "no commit for 60 s, and 7 records are left"}
    health.progress("g", {"statuses": 3, "receipts": 0})
    assert ask(health, "/readyz")[0] == HTTPStatus.OK


def test_one_group_that_stalls_is_not_hidden_by_another() -> None:
    now = 100.0
    health = Health("sender", now=lambda: now)
    health.progress("north", {"jobs.north": 5})
    now += 16.0
    health.progress("south", {"jobs.south": 5})
    assert not health.moving()
    health.progress("north", {"jobs.north": 0})
    assert health.moving()


def test_lag_is_shown_as_it_is_when_it_is_asked_for() -> None:
    now = 100.0
    health = Health("sender", now=lambda: now)

    def shown(topic: str) -> tuple[float | None, float | None]:
        answer_probe(health, "/metrics")
        labels = {"topic": topic, "group": "shown"}
        return (
            metrics.REGISTRY.get_sample_value("tocsin_consumer_lag_records", labels),
            metrics.REGISTRY.get_sample_value("tocsin_consumer_lag_seconds", labels),
        )

    health.progress("shown", {"jobs": 5, "delay": 0})
    assert shown("jobs") == (5, 0)
    now += 20.0
    health.progress("shown", {"jobs": 7, "delay": 0}, moved=False)
    assert health.moving(), "it commits, if only that it is still there"
    assert shown("jobs") == (7, 20)
    assert shown("delay") == (0, 0)
    now += 5.0
    assert shown("jobs") == (7, 25)
    health.progress("shown", {"jobs": 6, "delay": 0})
    assert shown("jobs") == (6, 0)
    now += 5.0
    health.progress("shown", {"jobs": 0, "delay": 0}, moved=False)
    assert shown("jobs") == (0, 0)


def test_a_server_that_does_not_answer_is_a_metric_that_grows_until_it_answers() -> None:
    now = 100.0
    health = Health("watched", now=lambda: now)
    labels = {"stage": "watched", "service": "kafka"}

    def shown() -> float | None:
        answer_probe(health, "/metrics")
        return metrics.REGISTRY.get_sample_value("tocsin_server_away_seconds", labels)

    health.missing("kafka")
    now += 7.0
    health.missing("kafka")
    assert shown() == 7
    health.found("kafka")
    assert shown() == 0


def test_what_holds_a_process_is_a_metric_that_goes_with_its_cause() -> None:
    health = Health("held")
    health.release("start")
    health.hold("kafka unanswered", "does not answer")

    def shown() -> float | None:
        answer_probe(health, "/metrics")
        return metrics.REGISTRY.get_sample_value("tocsin_waits", {"stage": "held", "hold": "kafka unanswered"})

    assert shown() == 1
    health.release("kafka unanswered")
    assert shown() is None


def test_metrics_are_prometheus_text() -> None:
    answer = answer_probe(Health("api"), "/metrics")
    assert answer is not None
    assert answer[1].startswith("text/plain; version=0.0.4")
    assert b"tocsin_build_info" in answer[2]


def test_replies_name_length_and_close() -> None:
    probes = Probes(Health("api"))
    head, _, body = _reply(probes, b"GET /healthz?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert _reply(probes, b"HEAD /healthz HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")
    assert _reply(probes, b"GET /etc/passwd HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert _reply(probes, b"POST /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert _reply(probes, b"\x00\xff\r\n\r\n").startswith(b"HTTP/1.1 405 ")


async def test_a_probe_is_answered_while_others_ask_nothing() -> None:
    async with serve(Health("sender"), "127.0.0.1", 0) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX + 5)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        oldest, _ = opened[0]
        with suppress(ConnectionResetError):
            assert await oldest.read() == b""
        for _, each in [*opened, (reader, writer)]:
            each.close()


async def test_metrics_are_written_once_a_second_whoever_asks_and_readiness_each_time() -> None:
    now, shown = 100.0, 0
    health = Health("planner")

    def show() -> None:
        nonlocal shown
        shown += 1

    health.shows.append(show)
    probes = Probes(health, clock=lambda: now)
    first = probes.answer("/metrics")
    assert [probes.answer("/metrics") for _ in range(50)] == [first] * 50
    assert shown == 1
    ready = probes.answer("/readyz")
    health.release("start")
    assert probes.answer("/readyz") != ready
    now += METRICS_SECONDS
    probes.answer("/metrics")
    assert shown == 2


async def test_the_port_of_a_stage_gives_the_same_metrics_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    health, shown = Health("planner"), list[None]()
    monkeypatch.setattr(http_server, "METRICS_SECONDS", 60.0)
    health.shows.append(lambda: shown.append(None))
    async with serve(health, "127.0.0.1", 0) as port:
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
    assert len(shown) == 1
