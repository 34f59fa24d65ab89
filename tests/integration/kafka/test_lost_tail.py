"""A log that lost its tail under a Faust stage: what comes after the loss is handled, by a stage that starts anew."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from broadcast.embedded.servers.kafka import Kafka
from broadcast.kafka.clients import make_admin, make_producer
from broadcast.settings import Settings
from tests.support.topics import read_topic

from .test_stage_kills import ENVIRONMENT
from .worker import LOST_TAIL_EXIT_CODE

BUDGET_SECONDS = 40.0


@pytest.fixture
async def broker(session_directory: Path, tmp_path: Path) -> AsyncIterator[Kafka]:
    """A broker of this test's own, whose data it may change."""
    broker = Kafka(session_directory / f"kafka-{tmp_path.name}")
    await broker.start()
    yield broker
    await broker.stop()


class Trial:
    """A stage as a process, which writes down what it handles."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.source, self.out = f"{settings.topic_prefix}in", f"{settings.topic_prefix}out"

    async def start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("worker.py")),
            *(self.settings.kafka_bootstrap, self.settings.topic_prefix, "one"),
            env=ENVIRONMENT,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def ends(self, process: asyncio.subprocess.Process) -> str:
        """What it says when it ends because the log has lost its tail."""
        async with asyncio.timeout(BUDGET_SECONDS):
            _, err = await process.communicate()
        assert process.returncode == LOST_TAIL_EXIT_CODE, err.decode()
        return err.decode().splitlines()[-1]

    async def make_topics(self) -> None:
        admin = make_admin(self.settings)
        await admin.start()
        await admin.create_topics([NewTopic(self.source, 1, 1), NewTopic(self.out, 1, 1)])
        await admin.close()

    async def send(self, *values: bytes) -> None:
        async with make_producer(self.settings) as producer:
            for value in values:
                await producer.send_and_wait(self.source, value, key=value, partition=0)

    async def until_handled(self, *values: bytes) -> None:
        async with asyncio.timeout(BUDGET_SECONDS):
            while True:
                handled = {record.value.partition(b"/")[0] for record in await read_topic(self.settings, self.out)}
                if set(values) <= handled:
                    return
                await asyncio.sleep(0.1)


@pytest.mark.timeout(200)
async def test_what_comes_after_a_loss_is_handled_by_a_stage_that_starts_anew(broker: Kafka, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, slot="one", kafka_bootstrap=broker.bootstrap)
    trial = Trial(settings)
    await trial.make_topics()
    await trial.send(b"1", b"2")
    await broker.stop()
    directory, copy = broker.log_directory / f"{trial.source}-0", tmp_path / "copy"
    shutil.copytree(directory, copy)
    await broker.start()

    worker = await trial.start()
    try:
        await trial.send(b"3", b"4", b"5")
        await trial.until_handled(b"1", b"5")
        await broker.kill9()
        # The events alone: positions and members are elsewhere, as on a cluster.
        shutil.rmtree(directory)
        shutil.move(copy, directory)
        await broker.start()
        assert "ends before what was read" in await trial.ends(worker)
        worker = await trial.start()
        assert "ends at 2, and 5 was read" in await trial.ends(worker)
        worker = await trial.start()
        await trial.send(b"6")
        await trial.until_handled(b"6")
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.communicate()
