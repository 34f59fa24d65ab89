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
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import NewAlert, Prepared

READY_SECONDS = 60.0
LOAD_SECONDS = 40.0
WINDOW_SECONDS = 8.0
WINDOWS = 4
ROUNDS = 200
STOP_P99_SECONDS = 0.25
PUBLISH_P99_SECONDS = 0.5


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


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
async def url(prepared: Prepared, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an API with 256 file descriptors."""
    settings = prepared[0]
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
        async with process(*command, env=environment, stderr=log, preexec_fn=few_descriptors):
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
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    seconds = time.perf_counter() - began
    writer.close()
    assert answer.startswith(b"HTTP/1.1 202"), answer
    return seconds, json.loads(answer.partition(b"\r\n\r\n")[2])


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


async def test_stops_and_alerts_get_through_half_open_connections_large_alerts_and_wrong_keys(
    prepared: Prepared, url: str, new_alert: NewAlert, record_property: Callable[[str, object], None]
) -> None:
    token = prepared[1]
    load = ("-m", "tests.support.hostile_clients", url.rpartition(":")[2], token, str(LOAD_SECONDS))
    windows: list[tuple[float, float, int]] = []
    async with process(*load, stdout=asyncio.subprocess.PIPE) as clients:
        await asyncio.sleep(2)
        # This machine has other work too, which may make one of them late.
        while len(windows) < WINDOWS and not _hold(windows):
            windows.append(await measure(url, token, new_alert))
        clients.send_signal(signal.SIGINT)
        assert clients.stdout is not None
        counts = json.loads(await asyncio.wait_for(clients.stdout.read(), 60))
    measured = {"publish_p99, stop_p99, rounds": windows} | counts
    print(measured)
    record_property("measured", measured)
    assert counts["half open"] >= 200
    assert counts["wrong key 401"] > 500
    assert sum(count for name, count in counts.items() if name.startswith("upload")) > 0
    assert _hold(windows), measured


async def measure(url: str, token: str, new_alert: NewAlert) -> tuple[float, float, int]:
    """p99 of publishing and of stopping, in seconds, and how often both were done."""
    publishes: list[float] = []
    stops: list[float] = []
    until = time.monotonic() + WINDOW_SECONDS
    while len(stops) < ROUNDS and time.monotonic() < until:
        seconds, answer = await timed(url, token, "/v1/alerts", new_alert())
        publishes.append(seconds)
        seconds, _ = await timed(url, token, answer["links"]["cancel"], {"reason": "over"})
        stops.append(seconds)
    return p99(publishes), p99(stops), len(stops)


def _hold(windows: list[tuple[float, float, int]]) -> bool:
    return any(publish <= PUBLISH_P99_SECONDS and stop <= STOP_P99_SECONDS for publish, stop, _ in windows)
