"""An API as a process with few file descriptors, and clients that want all of it: stops and alerts get through."""

import asyncio
import json
import os
import resource
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest

from broadcast.keys import create_key

from .conftest import NewAlert, Prepared

READY_SECONDS = 60.0
LOAD_SECONDS = 90.0
ROUNDS = 200
ROUNDS_LEAST = 100
WRONG_KEYS_LEAST = 50
ROUNDS_SECONDS = 60.0
CALM_SECONDS = 60.0
CALM_SHARE = 0.5
"""Other work on the machine makes requests late that the API answers in time."""
PAGES_LEAST = 20
STOP_P99_SECONDS = 0.25
PUBLISH_P99_SECONDS = 0.5


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def limit_descriptors(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def process(*arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(sys.executable, *arguments, **options)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


@pytest.fixture
async def url(request: pytest.FixtureRequest, prepared: Prepared, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an API with 256 file descriptors, or as many as the parameter says."""
    settings = prepared[0]
    limit = partial(limit_descriptors, getattr(request, "param", 256))
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("BROADCAST_")} | {
        "BROADCAST_DATA_DIR": str(tmp_path),
        "BROADCAST_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "BROADCAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "BROADCAST_TOPIC_PREFIX": settings.topic_prefix,
        "BROADCAST_API_PORT": str(port),
    }
    command = ("-m", "broadcast", "run", "api")
    with (tmp_path / "api.log").open("wb") as log:
        async with process(*command, env=environment, stderr=log, preexec_fn=limit):
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + READY_SECONDS
            async with httpx.AsyncClient(base_url=address, timeout=30) as http:
                while True:
                    try:
                        if (await http.get("/readyz")).is_success:
                            break
                    except httpx.TransportError:
                        assert time.monotonic() < deadline
                    await asyncio.sleep(0.1)
            yield address


async def timed(url: str, token: str, path: str, content: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds from the connection to the answer, and the answer; over a connection of its own, as operators have."""
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.read(), 10)
        seconds = time.perf_counter() - began
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 202"), answer
    return seconds, json.loads(answer.partition(b"\r\n\r\n")[2])


async def publish_and_stop(
    url: str, token: str, new_alert: NewAlert, rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Publish an alert and stop it, again and again; the seconds that each answer took."""
    publishes: list[float] = []
    stops: list[float] = []
    until = time.monotonic() + ROUNDS_SECONDS
    while len(stops) < rounds and time.monotonic() < until:
        seconds, answer = await timed(url, token, "/v1/alerts", new_alert())
        publishes.append(seconds)
        seconds, _ = await timed(url, token, answer["links"]["cancel"], {"reason": "over"})
        stops.append(seconds)
    return publishes, stops


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def measure(publishes: list[float], stops: list[float], busy: float, counts: dict[str, int]) -> dict[str, object]:
    """What a report of a run shows, printed too; times in seconds."""
    measured = {
        "publish p99": round(p99(publishes), 3),
        "stop p99": round(p99(stops), 3),
        "publish median": round(statistics.median(publishes), 3),
        "stop median": round(statistics.median(stops), 3),
        "rounds": len(stops),
        "busy before": busy,
        "load": os.getloadavg(),
        **counts,
    }
    print(measured)
    return measured


@pytest.mark.timeout(240)
async def test_stops_and_alerts_get_through_half_open_connections_large_alerts_wrong_keys_and_no_keys(
    prepared: Prepared, url: str, new_alert: NewAlert, record_property: Callable[[str, object], None]
) -> None:
    token = prepared[1]
    load = ("-m", "tests.support.hostile_clients", url.rpartition(":")[2], token, str(LOAD_SECONDS))
    busy = await until_calm()
    async with process(*load, stdout=asyncio.subprocess.PIPE) as clients:
        await asyncio.sleep(2)
        publishes, stops = await publish_and_stop(url, token, new_alert)
        clients.send_signal(signal.SIGINT)
        assert clients.stdout is not None
        counts = json.loads(await asyncio.wait_for(clients.stdout.read(), 60))
    measured = measure(publishes, stops, busy, counts)
    record_property("measured", measured)
    assert len(stops) >= ROUNDS_LEAST, measured
    assert counts["half open"] >= 200
    # They share a fifth of the time with all others that have no valid key.
    assert counts["wrong key 401"] >= WRONG_KEYS_LEAST
    assert counts["pipelines"] >= 20
    assert counts["pipelined answers"] > 0
    assert counts["burst"] >= 250
    assert sum(count for name, count in counts.items() if name.startswith("upload")) > 0
    assert p99(stops) <= STOP_P99_SECONDS, measured
    assert p99(publishes) <= PUBLISH_P99_SECONDS, measured


async def until_calm() -> float:
    """How busy all processors are, in percent: once it is little, or after a minute."""
    until = time.monotonic() + CALM_SECONDS
    while True:
        before = psutil.cpu_times()
        await asyncio.sleep(1)
        after = psutil.cpu_times()
        idle = (after.idle - before.idle) / max(sum(after) - sum(before), 0.01)
        if idle >= CALM_SHARE or time.monotonic() > until:
            return round(100 - 100 * idle, 1)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("url", [1_024], indirect=True)
async def test_a_flood_of_the_dearest_pages_by_one_key_does_not_delay_another(
    prepared: Prepared, url: str, new_alert: NewAlert, record_property: Callable[[str, object], None]
) -> None:
    settings, token = prepared
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        _, other = await create_key(connection, "bob")
        large = await store_pages(connection)
    finally:
        await connection.close()
    paths = (
        "/v1/alerts?limit=500",
        f"/v1/alerts/{large}/deliveries?limit=500",
        "/v1/alerts?limit=500&state=completed",
        f"/v1/alerts/{large}/summary?exact=true&reasons=true",
        f"/v1/alerts/{large}/queued-routes",
    )
    load = ("-m", "tests.support.busy_key", url.rpartition(":")[2], other, str(LOAD_SECONDS), *paths)
    busy = await until_calm()
    async with process(*load, stdout=asyncio.subprocess.PIPE) as clients:
        await asyncio.sleep(2)
        publishes, stops = await publish_and_stop(url, token, new_alert, ROUNDS_LEAST)
        clients.send_signal(signal.SIGINT)
        assert clients.stdout is not None
        counts = json.loads(await asyncio.wait_for(clients.stdout.read(), 60))
    measured = measure(publishes, stops, busy, counts)
    record_property("measured", measured)
    assert len(stops) >= ROUNDS_LEAST, measured
    assert counts["200"] >= PAGES_LEAST, measured
    assert p99(stops) <= STOP_P99_SECONDS, measured
    assert p99(publishes) <= PUBLISH_P99_SECONDS, measured


async def store_pages(connection: asyncpg.Connection) -> UUID:
    """Full pages of alerts, each for 100 groups; one of them has 20,000 recipients who wait. Its id."""
    await connection.execute(
        """
        INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest,
                            groups, event_offset, actor, expires_at, accepted_at)
        SELECT gen_random_uuid(), 'completed', 'immediate', 's', 'page-' || n, now(), 'Actual', 'Alert', '{}', '',
               (SELECT array_agg('group ' || g) FROM generate_series(1, 100) g), 0, 'anna', now(), now()
        FROM generate_series(1, 600) n
        """
    )
    alert_id: UUID = await connection.fetchval(
        "UPDATE alerts SET state = 'sending', audience = 20000, suppressed = 0, chunks = 1, expanded_at = now() "
        "WHERE identifier = 'page-1' RETURNING alert_id"
    )
    await connection.execute(
        "INSERT INTO chunks (alert_id, chunk, first_id, last_id, count, recipients, digest, chain) "
        "SELECT $1, 0, 1, 20000, 20000, array_agg(n), '', '' FROM generate_series(1, 20000) n",
        alert_id,
    )
    return alert_id
