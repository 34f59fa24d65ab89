"""Stopping a consumer while it waits to fetch again: what aiokafka does then, and what ours do."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NodeNotReadyError

from broadcast.kafka.clients import Consumer, make_consumer, make_producer
from broadcast.settings import Settings

from .conftest import Make


@pytest.fixture
async def waiting(
    kafka_settings: Settings, make_topic: Make, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Consumer]:
    """A consumer whose fetches fail, and which waits ten seconds before the next."""
    topic = f"{kafka_settings.topic_prefix}read"
    await make_topic(topic)
    producer = make_producer(kafka_settings)
    await producer.start()
    await producer.send_and_wait(topic, b"x")
    await producer.stop()
    consumer = make_consumer(kafka_settings, auto_offset_reset="earliest", retry_backoff_ms=10_000)
    await consumer.start()

    async def fail(*_: object, **__: object) -> None:
        raise NodeNotReadyError

    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0), 0)
    monkeypatch.setattr(consumer._client, "send", fail)
    async with asyncio.timeout(10):
        while not consumer._fetcher._pending_tasks:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    yield consumer
    await consumer._client.close()


async def test_aiokafka_cancels_whoever_stops_it_then(waiting: Consumer) -> None:
    with pytest.raises(asyncio.CancelledError):
        await AIOKafkaConsumer.stop(waiting)


async def test_ours_stops_and_disconnects(waiting: Consumer) -> None:
    await waiting.stop()
    assert not any(connection.connected() for connection in waiting._client._conns.values())


async def test_who_is_cancelled_meanwhile_stays_so(waiting: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(waiting._fetcher, "close", hang)
    stopping = asyncio.create_task(waiting.stop())
    await begun.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_partition_that_was_taken_away_has_no_end(kafka_settings: Settings, make_topic: Make) -> None:
    topic = f"{kafka_settings.topic_prefix}taken"
    await make_topic(topic)
    partition = TopicPartition(topic, 0)
    producer = make_producer(kafka_settings)
    await producer.start()
    await producer.send_and_wait(topic, b"x")
    await producer.stop()
    consumer = make_consumer(kafka_settings)
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        async with asyncio.timeout(10):
            while not await consumer.getmany(partition, timeout_ms=100):
                pass
        consumer.seek(partition, 0)
        asked = (consumer.highwater, consumer.last_stable_offset, consumer.unread)
        assert [ask(partition) for ask in asked] == [1, 1, 1]
        assert consumer.last_poll_timestamp(partition)
        consumer.unsubscribe()
        assert [ask(partition) for ask in asked] == [None, None, 0]
        assert consumer.last_poll_timestamp(partition) is None
    finally:
        await consumer.stop()
