"""A broker killed between answering a commit and writing its markers leaves nothing open, once that is settled."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from broadcast.embedded.kafka import Kafka
from broadcast.embedded.ports import find_free_port
from broadcast.kafka.clients import make_consumer, make_producer, security
from broadcast.kafka.events import Output, Sources, find_position
from broadcast.kafka.transactions import UnsettledError, settle
from broadcast.settings import Settings
from tests.support.markers import restart_without_markers, send_markers_through

PREFIX = "markers."
RECORDS = 5
FILLING, MANY = "filling", 100
"""Partitions that take the broker's time when it gives up leading, as those of a real system do."""
NAMES = ("committed", "aborted", "open", "written", "late", "read")
OTHER = TopicPartition(f"{PREFIX}read", 0)


def topic_of(name: str) -> str:
    return f"{PREFIX}{name}"


class Mute:
    """A broker that answers commits, writes no markers, and forgets them when it is killed and comes `back`."""

    def __init__(self, kafka: Kafka, settings: Settings) -> None:
        self.kafka, self.settings = kafka, settings

    async def back(self, *transactional_ids: str) -> None:
        await restart_without_markers(self.kafka, transactional_ids)

    async def ends(self, name: str) -> tuple[int, int]:
        """How far a topic is readable, and how far it is written."""
        partition = TopicPartition(topic_of(name), 0)
        async with (
            make_consumer(self.settings) as committed,
            make_consumer(self.settings, isolation_level="read_uncommitted") as everything,
        ):
            return (
                (await committed.end_offsets([partition]))[partition],
                (await everything.end_offsets([partition]))[partition],
            )

    async def values(self, name: str) -> list[bytes]:
        """The committed records of a topic."""
        partition = TopicPartition(topic_of(name), 0)
        consumer: AIOKafkaConsumer = make_consumer(self.settings, auto_offset_reset="earliest")
        consumer.assign([partition])
        found = []
        async with consumer, asyncio.timeout(20):
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [record.value for record in records]
        return found


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mute]:
    directory = tmp_path_factory.mktemp("mute")
    kafka = Kafka(directory / "kafka")
    try:
        asyncio.run(prepare(kafka))
        yield Mute(
            kafka, Settings(data_dir=directory, slot="test", kafka_bootstrap=kafka.bootstrap, topic_prefix=PREFIX)
        )
    finally:
        asyncio.run(kafka.kill9())


async def prepare(kafka: Kafka) -> None:
    await kafka.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic_of(name), 1, 1) for name in NAMES] + [NewTopic(FILLING, MANY, 1)])
    await admin.close()
    await kafka.stop()
    send_markers_through(kafka, find_free_port())
    await kafka.start()


async def write(producer: AIOKafkaProducer, name: str) -> None:
    sent = [await producer.send(topic_of(name), str(number).encode()) for number in range(RECORDS)]
    await asyncio.gather(*sent)


async def test_markers_that_were_left_out_are_written_as_the_transaction_ended(mute: Mute) -> None:
    producers = {
        name: AIOKafkaProducer(
            bootstrap_servers=mute.kafka.bootstrap, transactional_id=f"{PREFIX}{name}", transaction_timeout_ms=60_000
        )
        for name in ("committed", "aborted", "open")
    }
    for name, producer in producers.items():
        await producer.start()
        await producer.begin_transaction()
        await write(producer, name)
    await producers["committed"].send_offsets_to_transaction({OTHER: 7}, "group")
    await producers["committed"].commit_transaction()
    await producers["aborted"].abort_transaction()
    try:
        await mute.back(f"{PREFIX}committed", f"{PREFIX}aborted")
        for name in producers:
            assert await mute.ends(name) == (0, RECORDS), "this is what it is about"

        settings = mute.settings
        found = {name: await settle(security(settings), PREFIX, f"{PREFIX}{name}") for name in producers}
        again = {name: await settle(security(settings), PREFIX, f"{PREFIX}{name}") for name in producers}

        # The second of the committed is the group's positions.
        assert found == {"committed": 2, "aborted": 1, "open": 0}
        assert again == dict.fromkeys(producers, 0)
        assert await settle(security(settings), PREFIX, f"{PREFIX}unknown") == 0
        assert await find_position(settings, "group", OTHER) == 7
        assert await mute.values("committed") == [b"0", b"1", b"2", b"3", b"4"]
        assert await mute.values("aborted") == []
        assert await mute.ends("aborted") == (RECORDS + 1, RECORDS + 1)
        assert await mute.ends("open") == (0, RECORDS), "whoever takes the id over aborts it"
    finally:
        for producer in producers.values():
            await producer.stop()


async def test_a_source_whose_commit_was_answered_and_not_shown_does_nothing_twice(mute: Mute) -> None:
    """What the next event would have ended blindly is settled first, by whoever comes next."""
    async with make_producer(mute.settings) as producer:
        for _ in range(10):
            await producer.send_and_wait(OTHER.topic, b"input")
    async with Sources(mute.settings, "stage") as sources:
        source = await sources.get(OTHER)
        committing = asyncio.create_task(source.commit(6, outputs()))
        while (await mute.ends("written"))[1] < RECORDS:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        assert not committing.done(), "it returned before readers can see it"

        await mute.back(source.transactional_id)
        with pytest.raises(KafkaError):
            await committing
        with pytest.raises(UnsettledError):
            await source.commit(7, outputs())

        await sources.drop([OTHER])
        source = await sources.get(OTHER)
        assert source.position == 7
        assert await mute.values("written") == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_broker_that_was_lost_meanwhile_is_noticed_even_if_it_is_back(mute: Mute) -> None:
    """The process stood still, say: its question is answered by a broker that has left the markers out."""
    producer = make_producer(mute.settings, transactional_id=f"{PREFIX}stopped")
    look = producer._coordinator.look

    async def look_late() -> None:
        await mute.back(f"{PREFIX}stopped")
        await look()

    producer._coordinator.look = look_late
    await producer.start()
    try:
        await producer.begin_transaction()
        await write(producer, "late")
        with pytest.raises(UnsettledError):
            await producer.commit_transaction()
        assert await mute.ends("late") == (0, RECORDS)
    finally:
        await producer.stop()
    async with make_producer(mute.settings, transactional_id=f"{PREFIX}stopped"):
        assert await mute.values("late") == [b"0", b"1", b"2", b"3", b"4"]


def outputs() -> list[Output]:
    return [Output(topic_of("written"), b"key", str(number).encode()) for number in range(RECORDS)]
