"""Transactions that are over in the coordinator's book and open on a partition are ended as they were meant to be.

`tests/fault/test_lost_markers.py` has a broker that is killed leave them so; here they are forged, record by record.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import TxnOffsetCommitRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from broadcast.errors import UnavailableError
from broadcast.kafka.batches import Record
from broadcast.kafka.clients import make_admin, make_consumer, make_producer, security
from broadcast.kafka.events import group_of
from broadcast.kafka.markers import OFFSETS_TOPIC, settle
from broadcast.kafka.requests import DescribeTransactionsRequest
from broadcast.kafka.sources import Sources, find_position
from broadcast.kafka.transactions import UnsettledError
from broadcast.settings import Settings

RECORDS = 5
VALUES = [b"0", b"1", b"2", b"3", b"4"]
NODE = 1


class Forge:
    """Transactions on topics of one test that lack markers, and what readers see of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def name(self, name: str) -> str:
        """A topic's name, or a transactional id."""
        return f"{self.settings.topic_prefix}{name}"

    def producer(self, transactional_id: str) -> AIOKafkaProducer:
        """One that neither settles nor confirms."""
        return AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap, transactional_id=transactional_id)

    async def write(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Records of a transaction that has begun."""
        sent = [await producer.send(self.name(topic), value) for value in VALUES]
        await asyncio.gather(*sent)

    async def write_late(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Records of a transaction that has ended: its markers will not reach them."""
        book = producer._txn_manager
        batch = DefaultRecordBatchBuilder(2, 0, 1, book.producer_id, book.producer_epoch, 0, 100_000)
        for offset, value in enumerate(VALUES):
            batch.append(offset, 1_700_000_000_000, b"k", value, [])
        topics = [(self.name(topic), [(0, bytes(batch.build()))])]
        answer = await producer.client.send(NODE, ProduceRequest(book.transactional_id, -1, 5_000, topics))
        assert answer.topics[0][1][0][1] == 0, answer

    async def commit_late(self, producer: AIOKafkaProducer, group: str, partition: TopicPartition, offset: int) -> None:
        """A position of a transaction that has ended."""
        book = producer._txn_manager
        await wait_for_groups(self.settings)
        node = await producer.client.coordinator_lookup(CoordinationType.GROUP, group)
        request = TxnOffsetCommitRequest(
            book.transactional_id,
            group,
            book.producer_id,
            book.producer_epoch,
            [(partition.topic, [(partition.partition, offset, "")])],
        )
        answer = await producer.client.send(node, request, group=ConnectionGroup.COORDINATION)
        assert answer.errors[0][1][0][1] == 0, answer

    async def ends(self, topic: str) -> tuple[int, int]:
        """How far a topic is readable, and how far it is written."""
        partition = TopicPartition(self.name(topic), 0)
        async with (
            make_consumer(self.settings) as committed,
            make_consumer(self.settings, isolation_level="read_uncommitted") as everything,
        ):
            return (
                (await committed.end_offsets([partition]))[partition],
                (await everything.end_offsets([partition]))[partition],
            )

    async def values(self, topic: str) -> list[bytes]:
        """The committed records of a topic."""
        partition = TopicPartition(self.name(topic), 0)
        consumer: AIOKafkaConsumer = make_consumer(self.settings, auto_offset_reset="earliest")
        consumer.assign([partition])
        found: list[bytes] = []
        async with consumer, asyncio.timeout(20):
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [record.value for record in records]
        return found


async def wait_for_groups(settings: Settings) -> None:
    """The topic of positions is made when somebody asks for the first."""
    while True:
        with suppress(KafkaError, UnavailableError):
            await find_position(settings, "anybody", TopicPartition("any", 0))
            return
        await asyncio.sleep(0.1)


@pytest.fixture
async def forge(kafka_settings: Settings) -> AsyncIterator[Forge]:
    made = Forge(kafka_settings)
    admin: AIOKafkaAdminClient = make_admin(kafka_settings)
    await admin.start()
    names = ("committed", "aborted", "open", "written", "read")
    await admin.create_topics([NewTopic(made.name(name), 1, 1) for name in names])
    await believe(admin, everybody=True)
    yield made
    await believe(admin, everybody=False)
    await admin.close()


async def believe(admin: AIOKafkaAdminClient, *, everybody: bool) -> None:
    """Have the broker take records for a transaction without asking the coordinator whether it goes on, or not."""
    configs = {"transaction.partition.verification.enable": "false"} if everybody else {}
    await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, str(NODE), configs)])


async def test_what_was_left_open_is_ended_as_the_transaction_was(forge: Forge) -> None:
    settings, read = forge.settings, TopicPartition(forge.name("read"), 0)
    producers = {name: forge.producer(forge.name(name)) for name in ("committed", "aborted", "open")}
    for name, producer in producers.items():
        await producer.start()
        await producer.begin_transaction()
        await forge.write(producer, "open" if name == "open" else "written")
    await producers["committed"].commit_transaction()
    await producers["aborted"].abort_transaction()
    try:
        for name in ("committed", "aborted"):
            await settle(security(settings), settings.topic_prefix, forge.name(name))
            await forge.write_late(producers[name], name)
        await forge.commit_late(producers["committed"], "group", read, 7)
        for name in producers:
            assert await forge.ends(name) == (0, RECORDS), "this is what it is about"
        assert await find_position(settings, "group", read) == 0

        found = {name: await settle(security(settings), settings.topic_prefix, forge.name(name)) for name in producers}
        again = {name: await settle(security(settings), settings.topic_prefix, forge.name(name)) for name in producers}

        # The second of the committed is the group's positions.
        assert found == {"committed": 2, "aborted": 1, "open": 0}
        assert again == dict.fromkeys(producers, 0)
        assert await settle(security(settings), settings.topic_prefix, forge.name("unknown")) == 0
        assert await find_position(settings, "group", read) == 7
        assert await forge.values("committed") == VALUES
        assert await forge.values("aborted") == []
        assert await forge.ends("aborted") == (RECORDS + 1, RECORDS + 1)
        assert await forge.ends("open") == (0, RECORDS), "whoever takes the id over aborts it"
    finally:
        for producer in producers.values():
            await producer.stop()


async def test_a_source_finds_the_position_that_was_committed_and_not_shown(forge: Forge) -> None:
    """Or it would do the same event again, and send what came of it twice."""
    read, group = TopicPartition(forge.name("read"), 0), group_of(forge.settings, "stage")
    async with forge.producer(f"{group}.{read.topic}.0") as before:
        async with before.transaction():
            await forge.write(before, "read")
        await settle(security(forge.settings), forge.settings.topic_prefix, f"{group}.{read.topic}.0")
        await forge.write_late(before, "written")
        await forge.commit_late(before, group, read, 3)

    async with Sources(forge.settings, "stage") as sources:
        assert (await sources.get(read)).position == 3
        assert await forge.values("written") == VALUES


async def test_a_source_that_lost_its_broker_at_the_end_is_made_anew_without_another_event(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TopicPartition(forge.name("read"), 0)
    async with make_producer(forge.settings) as producer:
        await producer.send_and_wait(read.topic, b"event")
    async with Sources(forge.settings, "stage") as sources:
        source = await sources.get(read)
        look = source.producer._coordinator.look

        async def look_late() -> None:
            for connection in source.producer.client._conns.values():
                connection.close()
            await look()

        monkeypatch.setattr(source.producer._coordinator, "look", look_late)
        await source.commit(0, [Record(forge.name("written"), b"k", value) for value in VALUES])
        async with asyncio.timeout(10):
            while await sources.get(read) is source:
                await asyncio.sleep(0.02)
        assert (await sources.get(read)).position == 1
        assert await forge.values("written") == VALUES


async def test_a_commit_returns_when_readers_see_it(forge: Forge) -> None:
    partition = TopicPartition(forge.name("written"), 0)
    async with (
        make_producer(forge.settings, transactional_id=forge.name("stage")) as producer,
        make_consumer(forge.settings) as reader,
    ):
        for count in range(1, 51):
            async with producer.transaction():
                await producer.send_and_wait(partition.topic, b"value")
            assert (await reader.end_offsets([partition]))[partition] == 2 * count


async def test_what_a_transaction_will_write_is_known_before_it_is_chosen(forge: Forge) -> None:
    settings, read, written = (forge.settings, *(TopicPartition(forge.name(name), 0) for name in ("read", "written")))
    await wait_for_groups(settings)
    async with make_producer(settings, transactional_id=forge.name("stage")) as producer:
        node = await producer.client.coordinator_lookup(CoordinationType.TRANSACTION, forge.name("stage"))
        for position in (1, 2):
            await producer.begin_transaction()
            await producer.enlist("group", [written])
            await producer.send_and_wait(written.topic, b"%d" % position, partition=0)
            request = DescribeTransactionsRequest(forge.name("stage"))
            answer = await producer.client.send(node, request, group=ConnectionGroup.COORDINATION)
            _, _, state, *_, topics, _ = answer.transaction_states[0]
            assert (state, {topic for topic, _, _ in topics}) == ("Ongoing", {written.topic, OFFSETS_TOPIC})
            await producer.send_offsets_to_transaction({read: position}, "group")
            await producer.commit_transaction()
            assert await find_position(settings, "group", read) == position
    assert await forge.values("written") == [b"1", b"2"]


async def test_whoever_was_fenced_hears_it_before_it_chooses(forge: Forge) -> None:
    before = make_producer(forge.settings, transactional_id=forge.name("stage"))
    await before.start()
    try:
        async with make_producer(forge.settings, transactional_id=forge.name("stage")):
            await before.begin_transaction()
            with pytest.raises(ProducerFenced):
                await before.enlist("group", [])
    finally:
        await before.stop()


async def test_a_broker_that_was_lost_meanwhile_is_noticed_even_if_it_answers_again(forge: Forge) -> None:
    """The process stood still, say, while the broker was killed and started, and left the markers out."""
    producer = make_producer(forge.settings, transactional_id=forge.name("stopped"))
    look = producer._coordinator.look

    async def look_late() -> None:
        for connection in producer.client._conns.values():
            connection.close()
        await look()

    await producer.start()
    try:
        producer._coordinator.look = look_late
        await producer.begin_transaction()
        await forge.write(producer, "written")
        with pytest.raises(UnsettledError, match="a broker was lost"):
            await producer.commit_transaction()
        with pytest.raises(UnsettledError, match="may still be open"):
            await producer.begin_transaction()
    finally:
        await producer.stop()
    async with make_producer(forge.settings, transactional_id=forge.name("stopped")) as producer:
        await producer.begin_transaction()
        await producer.abort_transaction()
        assert await forge.values("written") == VALUES
