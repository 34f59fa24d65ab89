"""A client that is given up half way leaves no connection and no task."""

import asyncio
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from broadcast.clock import monotonic
from broadcast.embedded.servers.kafka import Kafka
from broadcast.health import Health
from broadcast.kafka.broker_clock import keep_broker_clock
from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.kafka.events import STOP_BUDGET_SECONDS, stop_producer
from broadcast.settings import Settings
from schemas.topics import Names
from tests.support.freezing import frozen
from tests.support.waiting import eventually

from .conftest import Make


@pytest.mark.parametrize("make", [make_producer, make_consumer])
async def test_a_start_that_is_cancelled_at_the_first_contact_leaves_no_connection(
    kafka_settings: Settings, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = AIOKafkaConnection.send
    asked: asyncio.Future[AIOKafkaConnection] = asyncio.get_running_loop().create_future()

    async def send_or_hold(connection: AIOKafkaConnection, request: Any, *more: Any, **keywords: Any) -> Any:
        if isinstance(request, MetadataRequest) and not asked.done():
            asked.set_result(connection)
            await asyncio.Event().wait()
        return await send(connection, request, *more, **keywords)

    monkeypatch.setattr(AIOKafkaConnection, "send", send_or_hold)
    client = make(kafka_settings)
    starting = asyncio.create_task(client.start())
    connection = await asked
    assert connection.connected()
    starting.cancel()
    await asyncio.wait((starting,))
    assert not connection.connected()
    await client.stop()


async def test_a_producer_whose_broker_stands_still_ends_within_its_budget(
    kafka_settings: Settings, kafka_broker: Kafka, topic_prefix: str, make_topic: Make
) -> None:
    topic = f"{topic_prefix}out"
    await make_topic(topic)
    producer = make_producer(kafka_settings)
    await producer.start()
    await producer.send_and_wait(topic, b"one")
    connections = tuple(producer.client._conns.values())
    with frozen(kafka_broker.process.pid):
        written = await producer.send(topic, b"two")
        begun = monotonic()
        await stop_producer(producer)
        assert monotonic() - begun < STOP_BUDGET_SECONDS + 1
    assert not any(connection.connected() for connection in connections)
    assert producer._sender.sender_task.done()
    with pytest.raises(KafkaError):
        await written


async def test_a_clock_topic_without_times_of_the_broker_holds_the_process(
    kafka_settings: Settings, topic_prefix: str, make_topic: Make
) -> None:
    await make_topic(Names(topic_prefix).clock)
    health = Health("planner")
    async with keep_broker_clock(kafka_settings, health) as clock:
        await eventually(lambda: "LogAppendTime" in health.holds["clock"], "it says why", within_seconds=10)
        assert health.holds["clock"].endswith("run `broadcast topics check`")
        assert not clock.agrees()
