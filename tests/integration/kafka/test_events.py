"""Outputs and position in one transaction, on a real broker."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from broadcast.errors import FencedError, LostTailError
from broadcast.kafka.batches import Record
from broadcast.kafka.events import Source, group_of, stop_producer
from broadcast.kafka.sources import Sources, find_position
from broadcast.settings import Settings

from .conftest import Make, Read


@pytest.fixture
def names(topic_prefix: str) -> tuple[str, str]:
    """Input and output topic."""
    return f"{topic_prefix}in", f"{topic_prefix}out"


@pytest.fixture
async def topics(names: tuple[str, str], make_topic: Make) -> tuple[TopicPartition, str]:
    """The input partition and the output topic, made."""
    await asyncio.gather(*(make_topic(name) for name in names))
    return TopicPartition(names[0], 0), names[1]


async def test_a_commit_moves_outputs_and_position_together(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], read_topic: Read
) -> None:
    partition, out = topics
    async with Sources(kafka_settings, "trial") as sources:
        source = await sources.get(partition)
        assert source.position == 0
        await source.commit(7, [Record(out, b"k", b"one"), Record(out, b"k", b"two", headers=(("h", b"x"),))])
        assert source.position == 8
    records = await read_topic(out)
    assert [record.value for record in records] == [b"one", b"two"]
    assert records[1].headers == (("h", b"x"),)
    assert await find_position(kafka_settings, group_of(kafka_settings, "trial"), partition) == 8


async def test_an_aborted_transaction_leaves_neither(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], read_topic: Read
) -> None:
    partition, out = topics
    async with Sources(kafka_settings, "trial") as sources:
        source = await sources.get(partition)
        with pytest.raises(RuntimeError, match="half way"):
            await _fail_half_way(source, out)
        assert source.position == 0
        await source.commit(0, [Record(out, b"k", b"whole")])
    assert [record.value for record in await read_topic(out)] == [b"whole"]
    assert await find_position(kafka_settings, group_of(kafka_settings, "trial"), partition) == 1


async def test_a_record_that_cannot_be_written_leaves_the_position_where_it_is(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], read_topic: Read
) -> None:
    partition, out = topics
    async with Sources(kafka_settings, "trial") as sources:
        source = await sources.get(partition)
        with pytest.raises(KafkaTimeoutError):
            await _lose_one(source, out)
        assert source.position == 0
        await source.commit(0, [Record(out, b"k", b"whole")])
    assert [record.value for record in await read_topic(out)] == [b"whole"]
    assert await find_position(kafka_settings, group_of(kafka_settings, "trial"), partition) == 1


async def test_the_position_is_told_when_every_record_is_written(
    kafka_settings: Settings,
    topics: tuple[TopicPartition, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Told at the same time, a broker refuses one of the two for now, and the transaction takes 0.1 s longer.
    partition, out = topics
    written: list[bool] = []
    async with Sources(kafka_settings, "trial") as sources:
        source = await sources.get(partition)
        tell = source.producer.send_offsets_to_transaction

        async def note(*position: object) -> None:
            written.append(record.done())
            await tell(*position)

        monkeypatch.setattr(source.producer, "send_offsets_to_transaction", note)
        for offset in range(3):
            async with source.transaction(offset) as sending:
                record = await source.producer.send(out, b"one", key=b"k")
                sending.add(record)
    assert written == [True] * 3


async def test_a_second_process_fences_the_first_and_reads_its_position(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], read_topic: Read
) -> None:
    partition, out = topics
    async with Sources(kafka_settings, "trial") as first, Sources(kafka_settings, "trial") as second:
        old = await first.get(partition)
        await old.commit(0, [Record(out, b"k", b"old"), Record(partition.topic, b"k", b"an event")])
        with pytest.raises(FencedError, match="another process reads this partition"):
            await _overtake(old, second, out)
        new = await second.get(partition)
        assert new.position == 1
        await new.commit(1, [Record(out, b"k", b"new")])
        assert old.position == 1
    assert [record.value for record in await read_topic(out)] == [b"old", b"new"]


@pytest.mark.parametrize("count", [1, 300])
async def test_a_fence_is_a_fence_at_whatever_step_it_is_noticed(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], count: int
) -> None:
    partition, out = topics
    async with Sources(kafka_settings, "trial") as first, Sources(kafka_settings, "trial") as second:
        old = await first.get(partition)
        await second.get(partition)
        for _ in range(2):  # the second time it is known from the start
            with pytest.raises(FencedError, match="another process reads this partition"):
                await old.commit(0, [Record(out, b"k", b"%d" % number) for number in range(count)])
        with pytest.raises(FencedError, match="another process reads this partition"):
            await _send_slowly(old, out)


async def test_a_producer_whose_last_request_is_fenced_leaves_no_connection_open(
    kafka_settings: Settings, topics: tuple[TopicPartition, str]
) -> None:
    partition, _ = topics
    async with Sources(kafka_settings, "trial") as first, Sources(kafka_settings, "trial") as second:
        producer = (await first.get(partition)).producer
        await producer.begin_transaction()
        await second.get(partition)
        position, group = {partition: OffsetAndMetadata(1, "")}, group_of(kafka_settings, "trial")
        asked = asyncio.create_task(producer.send_offsets_to_transaction(position, group))
        connections = list(producer.client._conns.values())
        while not any(connection._requests for connection in connections):
            await asyncio.sleep(0)
        await stop_producer(producer)
        with pytest.raises(ProducerFenced):
            await asked
        assert [connection for connection in connections if connection.connected()] == []


async def test_a_revoked_partition_is_made_anew_for_who_waits(
    kafka_settings: Settings, topics: tuple[TopicPartition, str]
) -> None:
    partition, _ = topics
    async with Sources(kafka_settings, "trial") as sources:
        waiting = asyncio.create_task(sources.get(partition))
        await asyncio.sleep(0)
        await sources.drop([partition])
        source = await asyncio.wait_for(waiting, 20)
        await source.commit(3)
        assert sources.positions() == {partition: 4}


@pytest.mark.parametrize(("rereads", "position"), [(False, 2), (True, 0)])
async def test_a_log_that_lost_its_tail_does_not_swallow_what_comes_next(
    kafka_settings: Settings, topics: tuple[TopicPartition, str], rereads: bool, position: int
) -> None:
    partition, _ = topics
    async with Sources(kafka_settings, "trial", rereads=rereads) as sources:
        await (await sources.get(partition)).commit(99, [Record(partition.topic, b"k", b"first")])
        await sources.drop([partition])
        # The log holds the record and the end of its transaction, not a hundred records.
        with pytest.raises(LostTailError, match=f"ends at 2, and 100 was read.*The position is {position} now"):
            await sources.get(partition)
        await sources.drop([partition])
        assert (await sources.get(partition)).position == position


async def _send_slowly(source: Source, out: str) -> None:
    async with source.transaction(0) as sending:
        for _ in range(20):
            sending.add(await source.producer.send(out, b"late", key=b"k"))
            await asyncio.sleep(0.01)


async def _overtake(old: Source, second: Sources, out: str) -> None:
    async with old.transaction(1) as sending:
        sending.add(await old.producer.send(out, b"never seen", key=b"k"))
        await second.get(old.partition)


async def _lose_one(source: Source, out: str) -> None:
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lost.set_exception(KafkaTimeoutError("lost"))
    async with source.transaction(0) as sending:
        sending.add(await source.producer.send(out, b"half", key=b"k"))
        sending.add(lost)


async def _fail_half_way(source: Source, out: str) -> None:
    async with source.transaction(0) as sending:
        sending.add(await source.producer.send(out, b"half", key=b"k"))
        await sending.confirm()
        raise RuntimeError("half way")
