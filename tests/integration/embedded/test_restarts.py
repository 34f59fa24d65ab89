"""Killed with -9 and started again on their data: what was acknowledged is still there."""

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from broadcast.database import migrate
from broadcast.embedded.servers.kafka import Kafka
from broadcast.embedded.servers.postgres import Postgres
from broadcast.errors import SettingsError
from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.settings import Settings

RECORDS = 1_000
READ_BUDGET_MS = 20_000
"""The broker of a whole run has a thousand partitions to lead again, on a machine that tests keep busy."""


async def test_kafka_keeps_every_acknowledged_record(kafka_broker: Kafka, kafka_settings: Settings) -> None:
    topic, before = f"{kafka_settings.topic_prefix}kept", kafka_broker.bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=before)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    values = [f"{number}".encode() for number in range(RECORDS)]
    async with make_producer(kafka_settings, transactional_id=topic) as producer:
        async with producer.transaction():
            for value in values:
                await producer.send(topic, value)
        first = kafka_broker.process.pid
        await kafka_broker.kill9()
        assert not kafka_broker.running
        await kafka_broker.start()

    assert kafka_broker.bootstrap == before
    assert kafka_broker.process.pid != first
    async with make_consumer(kafka_settings, topic, auto_offset_reset="earliest") as consumer:
        found: list[bytes] = []
        while len(found) < RECORDS:
            batches = await consumer.getmany(timeout_ms=READ_BUDGET_MS)
            assert batches, f"{len(found)} of {RECORDS} records are there"
            found += [record.value for batch in batches.values() for record in batch]
    assert found == values


async def test_postgres_keeps_every_committed_row(postgres_server: Postgres, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    idle = await asyncpg.connect(database_url)

    first = postgres_server.process.pid
    await postgres_server.kill9()
    assert not postgres_server.running
    connection.terminate()
    idle.terminate()
    await postgres_server.start()

    assert postgres_server.process.pid != first
    connection = await asyncpg.connect(database_url)  # the same port and password
    try:
        assert await connection.fetchval("SELECT sum(number) FROM kept") == 500_500
    finally:
        await connection.close()


async def test_postgres_wants_the_password(postgres_server: Postgres) -> None:
    address = postgres_server.dsn_of("postgres")
    password = address.split(":")[2].split("@")[0]
    with pytest.raises(SettingsError, match="BROADCAST_DATABASE_URL: password authentication failed"):
        await migrate(address.replace(password, "guess"))
    try:
        connection = await asyncpg.connect(address.replace(password, "guess"))
    except asyncpg.InvalidPasswordError:
        return
    await connection.close()
    raise AssertionError("a wrong password was let in")
