"""A Faust stage, killed with -9 again and again: every event gives its outputs exactly once."""

import asyncio
import random
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from broadcast.errors import UnavailableError
from broadcast.kafka.clients import make_producer
from broadcast.kafka.events import group_of
from broadcast.kafka.sources import find_position
from broadcast.settings import Settings

from .conftest import Make, Read
from .worker import OUTPUTS

EVENTS = 300
PARTITIONS = 2
KILLS = 4
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"}


async def start(settings: Settings, slot: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("worker.py")),
        *(settings.kafka_bootstrap, settings.topic_prefix, slot),
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )


async def done(settings: Settings) -> int:
    group, topic = group_of(settings, "trial"), f"{settings.topic_prefix}in"
    positions = [find_position(settings, group, TopicPartition(topic, number)) for number in range(PARTITIONS)]
    try:
        return sum(await asyncio.gather(*positions))
    except (KafkaError, UnavailableError):
        return 0


@pytest.mark.timeout(180)
async def test_kills_lose_nothing_and_double_nothing(
    kafka_settings: Settings, make_topic: Make, read_topic: Read
) -> None:
    source, out = f"{kafka_settings.topic_prefix}in", f"{kafka_settings.topic_prefix}out"
    await make_topic(source, PARTITIONS)
    await make_topic(out, PARTITIONS)
    producer = make_producer(kafka_settings)
    await producer.start()
    for number in range(EVENTS):
        await producer.send(source, b"%d" % number, key=b"%d" % number, partition=number % PARTITIONS)
    await producer.stop()
    end = EVENTS  # the input has no transactions, so its offsets have no gaps

    dice = random.Random(7)
    hits, before = 0, 0
    worker = await start(kafka_settings, "one")
    try:
        async with asyncio.timeout(150):
            while (position := await done(kafka_settings)) < end:
                if hits < KILLS and position > before:
                    await asyncio.sleep(dice.uniform(0, 0.3))
                    worker.kill()
                    await worker.wait()
                    hits, before = hits + 1, position
                    worker = await start(kafka_settings, "one")
                await asyncio.sleep(0.1)
    finally:
        worker.kill()
        await worker.wait()
    assert hits == KILLS
    found = [record.value for record in await read_topic(out)]
    assert len(found) == EVENTS * OUTPUTS
    assert set(found) == {b"%d/%d" % (event, output) for event in range(EVENTS) for output in range(OUTPUTS)}
