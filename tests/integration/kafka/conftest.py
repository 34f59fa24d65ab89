"""Reading topics, and making some."""

from collections.abc import Awaitable, Callable

import pytest
from aiokafka.admin import NewTopic

from broadcast.kafka.clients import make_admin
from broadcast.settings import Settings
from tests.support.topics import Record
from tests.support.topics import read_topic as read_committed

Read = Callable[[str], Awaitable[list[Record]]]
Make = Callable[..., Awaitable[None]]


@pytest.fixture
def read_topic(kafka_settings: Settings) -> Read:
    """Every committed record of a topic, up to its end as it is now."""

    async def read(topic: str) -> list[Record]:
        return await read_committed(kafka_settings, topic)

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
