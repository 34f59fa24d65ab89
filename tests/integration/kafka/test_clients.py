"""A client that is given up half way leaves no connection."""

import asyncio
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest

from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.settings import Settings


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
