"""The order of taking over: the slot's producer, then the group, then positions, with every other owner fenced."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from broadcast.clock import monotonic
from broadcast.embedded.servers.kafka import Kafka
from broadcast.kafka.clients import make_admin, make_producer
from broadcast.kafka.fencing import fence_owners, read_positions
from broadcast.kafka.position import Position, PositionError, fresh_position, write_metadata
from broadcast.sending.membership import Identity, open_clients
from broadcast.settings import Settings
from schemas.lane import Lane
from tests.support.waiting import eventually


class OtherSender:
    """A sender that commits positions, and can be left with a transaction open."""

    def __init__(self, settings: Settings, group: str, topic: str, name: str) -> None:
        self.group, self.topic, self.name = group, topic, name
        self.producer: AIOKafkaProducer = make_producer(settings, transactional_id=name)

    async def begin(self, *positions: Position, partition: int = 0) -> None:
        await self.producer.begin_transaction()
        for position in positions:
            committed = OffsetAndMetadata(position.offset, write_metadata(position))
            await self.producer.send_offsets_to_transaction(
                {TopicPartition(self.topic, partition): committed}, self.group
            )

    async def commit(self, *positions: Position, partition: int = 0) -> None:
        await self.begin(*positions, partition=partition)
        await self.producer.commit_transaction()


@pytest.fixture
def topic(topic_prefix: str) -> str:
    return f"{topic_prefix}jobs"


@pytest.fixture
async def admin(kafka_settings: Settings, topic: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client: AIOKafkaAdminClient = make_admin(kafka_settings)
    await client.start()
    await client.create_topics([NewTopic(topic, 2, 1)])

    async def has_leaders() -> bool:
        [described] = await client.describe_topics([topic])
        return [partition["leader"] >= 0 for partition in described["partitions"]] == [True, True]

    await eventually(has_leaders, "the topic has leaders")
    yield client
    await client.close()


async def test_the_owner_that_a_position_names_is_fenced_before_the_position_counts(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    group = f"{kafka_settings.topic_prefix}group"
    other = OtherSender(kafka_settings, group, topic, f"{group}.other")
    await other.producer.start()
    committed = Position(5, 9, (5, 7), 100, other.name)
    try:
        await other.commit(committed)
        await other.begin(Position(50, 50, (), 200, other.name))
        before = monotonic()
        partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        positions, asked_at = await fence_owners(kafka_settings, admin, group, partitions, f"{group}.me")
        assert positions == {partitions[0]: committed, partitions[1]: None}
        assert before <= asked_at <= monotonic()
        with pytest.raises(ProducerFenced):
            await other.producer.commit_transaction()
        again, _ = await fence_owners(kafka_settings, admin, group, partitions, f"{group}.me")
        assert again == positions, "what the fenced one had in its transaction never counts"
    finally:
        await other.producer.stop()


async def test_every_owner_is_fenced_and_ones_own_name_is_not(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    group = f"{kafka_settings.topic_prefix}group"
    others = [OtherSender(kafka_settings, group, topic, f"{group}.{number}") for number in range(2)]
    for number, other in enumerate(others):
        await other.producer.start()
        await other.commit(Position(5, 5, (), 100, other.name), partition=number)
    try:
        partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        await fence_owners(kafka_settings, admin, group, partitions, others[0].name)
        await others[0].commit(Position(6, 6, (), 100, others[0].name))
        with pytest.raises(ProducerFenced):
            await others[1].commit(Position(6, 6, (), 100, others[1].name), partition=1)
    finally:
        for other in others:
            await other.producer.stop()


async def test_the_slots_producer_comes_before_the_group(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    group = f"{kafka_settings.topic_prefix}group"
    before = OtherSender(kafka_settings, group, topic, f"{group}.me")
    await before.producer.start()
    await before.begin(fresh_position(3))
    identity = Identity(group, before.name, "me", {topic: Lane.ROUTINE}, {}, TopicPartition(topic, 0))
    try:
        async with open_clients(kafka_settings, identity) as clients:
            assert not clients.consumer.subscription(), "it has not joined yet"
            with pytest.raises(ProducerFenced):
                await before.producer.commit_transaction()
    finally:
        await before.producer.stop()


async def test_a_broker_that_has_just_started_and_leaves_partitions_out_is_asked_again(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, topic: str, kafka_broker: Kafka
) -> None:
    group = f"{kafka_settings.topic_prefix}group"
    other = OtherSender(kafka_settings, group, topic, f"{group}.other")
    await other.producer.start()
    committed = Position(5, 9, (5, 7), 100, "")
    await other.commit(committed)
    await other.producer.stop()
    await kafka_broker.kill9()
    began_at = monotonic()
    reading = asyncio.create_task(
        read_positions(admin, group, frozenset([TopicPartition(topic, 0), TopicPartition(topic, 1)]))
    )
    await kafka_broker.start()
    async with asyncio.timeout(60):
        positions, asked_at = await reading
    assert positions == {TopicPartition(topic, 0): committed, TopicPartition(topic, 1): None}
    assert began_at < asked_at <= monotonic()


async def test_a_position_that_cannot_be_read_stops_the_takeover(
    kafka_settings: Settings, admin: AIOKafkaAdminClient, topic: str
) -> None:
    group = f"{kafka_settings.topic_prefix}group"
    other = OtherSender(kafka_settings, group, topic, f"{group}.other")
    await other.producer.start()
    for _ in range(2):
        await other.producer.begin_transaction()
        await other.producer.send_offsets_to_transaction(
            {TopicPartition(topic, 0): OffsetAndMetadata(5, "of a later version")}, group
        )
        await other.producer.commit_transaction()
    await other.producer.stop()
    with pytest.raises(PositionError, match="later version"):
        await fence_owners(kafka_settings, admin, group, [TopicPartition(topic, 0)], "me")
