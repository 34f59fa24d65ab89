"""The fixtures every other integration test stands on."""

import asyncio

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from broadcast.settings import Settings


async def test_database_is_migrated_and_empty(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 0
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await connection.execute("CREATE TABLE mark_of_this_test ()")
    finally:
        await connection.close()


async def test_database_is_not_that_of_another_test(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('mark_of_this_test')") is None
        await connection.execute("CREATE TABLE mark_of_this_test ()")
    finally:
        await connection.close()


async def test_broker_takes_topics_under_the_prefix(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        name = f"{settings.topic_prefix}trial"
        await admin.create_topics([NewTopic(name, 2, 1)])
        # A topic that was made is listed as soon as the broker has read of it.
        async with asyncio.timeout(10):
            while name not in await admin.list_topics():
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
