"""Reading whole topics, as every consumer of ours reads them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from broadcast.kafka.clients import make_admin, make_consumer
from broadcast.settings import Settings

Read = Callable[[str], Awaitable[list[Any]]]
Make = Callable[..., Awaitable[None]]


@pytest.fixture
def read_topic(kafka_settings: Settings) -> Read:
    """Every committed record of a topic, up to its end as it is now."""

    async def read(topic: str) -> list[Any]:
        consumer = make_consumer(kafka_settings, auto_offset_reset="earliest")
        await consumer.start()
        try:
            await consumer._client._wait_on_metadata(topic)
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            records: list[Any] = []
            async with asyncio.timeout(30):
                while any([await consumer.position(one) < ends[one] for one in partitions]):
                    for batch in (await consumer.getmany(timeout_ms=100)).values():
                        records += batch
            return records
        finally:
            await consumer.stop()

    return read


@pytest.fixture
def make_topic(kafka_settings: Settings) -> Make:
    """Make a topic that is not in the catalogue."""

    async def make(name: str, partitions: int = 1) -> None:
        admin = make_admin(kafka_settings)
        await admin.start()
        try:
            response = await admin.create_topics([NewTopic(name, partitions, 1)])
            assert [code for _, code, _ in response.topic_errors] == [0]
        finally:
            await admin.close()

    return make
