"""The API as the process that a supervisor sees: `broadcast run api`, ready, SIGTERM, exit code 0."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import httpx

from .conftest import NewAlert, Prepared

READY_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_run_api_serves_logs_and_ends_cleanly(prepared: Prepared, new_alert: NewAlert, tmp_path: Path) -> None:
    settings, token = prepared
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("BROADCAST_")} | {
        "BROADCAST_DATA_DIR": str(tmp_path),
        "BROADCAST_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "BROADCAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "BROADCAST_TOPIC_PREFIX": settings.topic_prefix,
        "BROADCAST_API_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "broadcast", "run", "api"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as http:
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    if (await http.get("/readyz")).is_success:
                        break
                except httpx.TransportError:
                    assert process.returncode is None
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            # Numbers that somebody writes into an address must not get into the log.
            refused = await http.post("/v1/alerts?number=%2B4915123456789", json=new_alert())
            assert refused.status_code == 422
            accepted = await http.post("/v1/alerts", json=new_alert())
            assert accepted.status_code == 202
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b"")
    lines = [json.loads(line) for line in err.decode().splitlines()]
    _, request = [line for line in lines if line["event"] == "request_answered"]
    assert (request["stage"], request["actor"], request["code"]) == ("api", "anna", 202)
    assert request["alert_id"] == accepted.json()["alert_id"]
    assert "4915123456789" not in err.decode()
    assert token.partition(".")[2] not in err.decode()
