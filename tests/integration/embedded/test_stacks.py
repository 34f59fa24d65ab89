"""Whole stacks: two side by side, one whose parent is killed, one that is interrupted."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from broadcast.embedded.errors import DirectoryInUseError
from broadcast.embedded.options import StackOptions
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress

PARENT = """
import asyncio, json, os, signal, sys
from pathlib import Path
import psutil
from broadcast.embedded.options import StackOptions
from broadcast.embedded.stack import Stack

# A shell that started the tests in the background has them ignore it, and so would we.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with Stack(Path(sys.argv[1]), StackOptions(stages=())) as stack:
        await stack.start()
        print(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
START_SECONDS = 60.0
GONE_SECONDS = 10.0
ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def parent_of_a_stack(data_dir: Path, scratch: Path) -> AsyncIterator[tuple[Process, list[int]]]:
    """Another Python process with a running stack, and the ids of its children."""
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(data_dir), cwd=scratch, env=environment, stdout=PIPE
    )
    try:
        assert parent.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            children = json.loads(await parent.stdout.readline())
        assert len(children) >= 3  # the broker, the database (with its own) and the simulator
        yield parent, children
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


async def wait_until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(GONE_SECONDS):
        while left := [pid for pid in pids if lives(pid)]:
            await asyncio.sleep(0.05)
    assert left == []


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def work(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.settings.kafka_bootstrap)
    await admin.start()
    try:
        assert "broadcast.alerts.v1" in await admin.list_topics()
    finally:
        await admin.close()
    connection = await asyncpg.connect(stack.settings.database_url.get_secret_value())
    try:
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 0
    finally:
        await connection.close()


async def test_two_stacks_side_by_side(tmp_path: Path) -> None:
    options = StackOptions(stages=())
    news: list[Progress] = []
    async with Stack(tmp_path / "a", options, report=news.append) as first, Stack(tmp_path / "b", options) as second:
        await asyncio.gather(first.start(), second.start())
        await asyncio.gather(work(first), work(second))
        for name in ("BROADCAST_KAFKA_BOOTSTRAP", "BROADCAST_DATABASE_URL", "BROADCAST_API_URL"):
            assert first.environment[name] != second.environment[name]
        assert first.simulator_port != second.simulator_port
        with pytest.raises(DirectoryInUseError):
            async with Stack(tmp_path / "a", options):
                pass
        assert (tmp_path / "a" / "stack.env").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "a" / "stack.env").exists()
    ended = {item.step for item in news if item.phase == "ended"}
    assert ended >= {"Apache Kafka", "PostgreSQL", "schema and topics", "stages"}


async def test_killed_parent_leaves_no_child_and_its_data_can_be_used_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with parent_of_a_stack(data_dir, tmp_path / "scratch") as (parent, children):
        parent.kill()
        await wait_until_gone(children)
    ports = json.loads((data_dir / "ports.json").read_text())
    async with Stack(data_dir, StackOptions(stages=())) as stack:
        await stack.start()
        await work(stack)
        assert stack.simulator_port == ports["smsc"]


async def test_interrupted_parent_leaves_no_child_and_no_file_elsewhere(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    shared_memory = set(Path("/dev/shm").glob("PostgreSQL*"))
    async with parent_of_a_stack(tmp_path / "data", scratch) as (parent, children):
        parent.send_signal(signal.SIGINT)
        async with asyncio.timeout(GONE_SECONDS + 15):
            await parent.wait()
        assert not [pid for pid in children if lives(pid)]
    assert list(scratch.iterdir()) == []
    assert set(Path("/dev/shm").glob("PostgreSQL*")) <= shared_memory
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "scratch"]
