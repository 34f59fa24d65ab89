"""Jobs that are left, as Kafka tells it."""

import asyncio
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from broadcast.audit.watch.lag import jobs_left, statuses_left
from broadcast.kafka.clients import make_producer
from broadcast.kafka.topics import create_topics
from broadcast.routing import Account, Route
from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.topics import Names
from tests.support.recorder_under_test import RecorderUnderTest


async def test_jobs_are_left_until_a_sender_has_passed_them(kafka_settings: Settings) -> None:
    account: Any = Account(name="sim", host="127.0.0.1", port=2775, system_id="x")
    await create_topics(kafka_settings, [Route(name="north", prefixes=("+",), partitions=2, accounts=(account,))])
    async with asyncio.timeout(20):  # a fresh broker makes its coordinators when it is first asked for them
        while (left := await jobs_left(kafka_settings)) is None:
            await asyncio.sleep(0.1)
    assert left == 0
    topic = Names(kafka_settings.topic_prefix).jobs("north", Lane.ROUTINE)
    producer = make_producer(kafka_settings, transactional_id=f"{kafka_settings.topic_prefix}test")
    await producer.start()
    try:
        async with producer.transaction():
            for _ in range(5):
                await producer.send(topic, b"{}", partition=1)
        assert await jobs_left(kafka_settings) == 6
        async with producer.transaction():
            offsets = {TopicPartition(topic, 1): OffsetAndMetadata(5, "")}
            await producer.send_offsets_to_transaction(offsets, f"{kafka_settings.topic_prefix}sender.north")
        assert await jobs_left(kafka_settings) == 0, "what is left is the end of a transaction"
        delayed = Names(kafka_settings.topic_prefix).delay("north", Lane.ROUTINE, 5)
        async with producer.transaction():
            await producer.send(delayed, b"{}", partition=0)
        assert await jobs_left(kafka_settings) == 1, "a single job waits"
    finally:
        await producer.stop()


async def test_a_status_is_left_until_it_is_recorded(under_test: RecorderUnderTest) -> None:
    settings = under_test.settings
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        await under_test.make_alert(3)
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 2)))
        assert (await statuses_left(settings, connection) or 0) >= 1
        async with under_test.recorder():
            await under_test.wait_for(submitted=1, queued=2)
        assert await statuses_left(settings, connection) == 0
    finally:
        await connection.close()
