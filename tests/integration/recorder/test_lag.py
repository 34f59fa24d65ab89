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


async def left_at_last(settings: Settings) -> int:
    """Jobs that are left, once Kafka can say it."""
    # A fresh broker makes its coordinators when it is first asked, and ends a transaction after its commit.
    async with asyncio.timeout(20):
        while (left := await jobs_left(settings)) is None:
            await asyncio.sleep(0.1)
    return left


async def test_jobs_are_left_until_a_sender_has_passed_them(kafka_settings: Settings) -> None:
    account: Any = Account(name="sim", host="127.0.0.1", port=2775, system_id="x")
    await create_topics(kafka_settings, [Route(name="north", prefixes=("+",), partitions=2, accounts=(account,))])
    assert await left_at_last(kafka_settings) == 0
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
        assert await left_at_last(kafka_settings) == 0, "what is left is the end of a transaction"
        delayed = Names(kafka_settings.topic_prefix).delay("north", Lane.ROUTINE, 5)
        async with producer.transaction():
            await producer.send(delayed, b"{}", partition=0)
        assert await jobs_left(kafka_settings) == 1, "a single job waits"
    finally:
        await producer.stop()


async def test_what_stands_behind_an_open_transaction_of_a_frozen_sender_is_not_taken_for_nothing(
    kafka_settings: Settings,
) -> None:
    account: Any = Account(name="sim", host="127.0.0.1", port=2775, system_id="x")
    await create_topics(kafka_settings, [Route(name="north", prefixes=("+",), partitions=1, accounts=(account,))])
    assert await left_at_last(kafka_settings) == 0
    delayed = Names(kafka_settings.topic_prefix).delay("north", Lane.ROUTINE, 5)
    frozen = make_producer(kafka_settings, transactional_id=f"{kafka_settings.topic_prefix}frozen")
    other = make_producer(kafka_settings, transactional_id=f"{kafka_settings.topic_prefix}other")
    await frozen.start()
    await other.start()
    try:
        await frozen.begin_transaction()
        await (await frozen.send(delayed, b"{}", partition=0))
        async with other.transaction():
            await other.send(delayed, b"{}", partition=0)
        assert await jobs_left(kafka_settings) is None, "a job that no reader sees yet waits behind the transaction"
        await frozen.abort_transaction()
        assert await left_at_last(kafka_settings) > 0
    finally:
        await frozen.stop()
        await other.stop()


async def test_a_status_is_left_until_it_is_recorded(under_test: RecorderUnderTest) -> None:
    settings = under_test.settings
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        await under_test.make_alert(3)
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 2)))
        assert (await statuses_left(settings, connection) or 0) >= 1
        async with under_test.recorder():
            await under_test.wait_for(submitted=1, queued=2)
        async with asyncio.timeout(20):
            while await statuses_left(settings, connection) != 0:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
