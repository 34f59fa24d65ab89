"""Recorders without Kafka, and alerts for them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from broadcast.audit.session import open_session
from broadcast.settings import Settings
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await open_session(Settings(database_url=database_url))
    yield opened
    await opened.close()


@pytest.fixture
async def recorder(connection: asyncpg.Connection) -> RecorderWithoutKafka:
    return RecorderWithoutKafka(connection)


@pytest.fixture
async def other_recorder(database_url: str) -> AsyncIterator[RecorderWithoutKafka]:
    opened = await open_session(Settings(database_url=database_url))
    yield RecorderWithoutKafka(opened, partition=1, shard=1)
    await opened.close()


@pytest.fixture
def alerts(connection: asyncpg.Connection) -> Alerts:
    return Alerts(connection)
