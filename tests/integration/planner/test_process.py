"""A stage as a process: ready, stopped by SIGTERM, ended by a fence, and clear when it cannot start."""

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from broadcast.errors import FENCED_EXIT_CODE
from broadcast.kafka.sources import Sources
from broadcast.settings import Settings

from ..control import Control, add_recipients, alert_content, control, id_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Control]:
    """A broker and a database with one group."""
    async with control(settings) as made:
        await add_recipients(made.connection, "riverside", 3)
        yield made


async def start(settings: Settings, *command: str, **more: str) -> asyncio.subprocess.Process:
    environment = {
        "PATH": os.environ["PATH"],
        "BROADCAST_SLOT": "one",
        "BROADCAST_DATA_DIR": str(settings.data_dir),
        "BROADCAST_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "BROADCAST_TOPIC_PREFIX": settings.topic_prefix,
        "BROADCAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "BROADCAST_ROUTES_FILE": str(settings.routes_file),
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command), env=environment | more, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )


async def until_ready(process: asyncio.subprocess.Process) -> None:
    """Its first log line names the port of its health."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b'"process_started"' not in (line := await process.stderr.readline()):
            assert line, "the process ended before it started"
        port = int(line.split(b'"metrics_port": ')[1].split(b",")[0])
        while await asyncio.to_thread(_status, port) != 200:
            await asyncio.sleep(0.1)


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_broadcast_run_is_ready_and_ends_at_sigterm(stage: Control) -> None:
    process = await start(stage.settings, "broadcast", "run", "planner")
    await until_ready(process)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b'"process_stopped"' in err


async def test_a_fence_ends_the_process_with_its_own_code(stage: Control) -> None:
    process = await start(stage.settings, "streams", "planner")
    await until_ready(process)
    content = alert_content(["riverside"])
    async with Sources(stage.settings, "planner") as sources:
        await sources.get(TopicPartition(f"{stage.prefix}alerts.v1", 0))
        await stage.put("alerts.v1", content)
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert process.returncode == FENCED_EXIT_CODE, err.decode()
    assert b"another process reads this partition" in err
    assert (await stage.state(id_of(content), "expanding"))["audience"] is None


async def test_without_routes_it_says_what_to_set(stage: Control) -> None:
    process = await start(stage.settings, "streams", "planner", BROADCAST_ROUTES_FILE="/nowhere.toml")
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"BROADCAST_ROUTES_FILE = /nowhere.toml" in err


async def test_an_unknown_stage_is_a_usage_error(stage: Control) -> None:
    process = await start(stage.settings, "streams", "typist")
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"usage: python -m streams planner|expander" in err
