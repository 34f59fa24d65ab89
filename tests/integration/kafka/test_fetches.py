"""Records that any Kafka client can write, and that no stage may stop at."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch

from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.kafka.fetches.partition_records import BATCH_BYTES_MAX
from broadcast.settings import Settings
from tests.support.headers import send_compressed, send_with_header

from .conftest import Make, Read


@pytest.mark.parametrize("key", [b"\xff\xfe", b"ce_\xe9", b"\xed\xa0\x80", b""])
async def test_a_header_key_that_is_not_utf8_stops_no_reader(
    kafka_settings: Settings, make_topic: Make, read_topic: Read, key: bytes
) -> None:
    topic = f"{kafka_settings.topic_prefix}headers"
    await make_topic(topic)
    async with make_producer(kafka_settings) as producer:
        await producer.send_and_wait(topic, b"before")
        await send_with_header(kafka_settings, topic, 0, [b"first", b"second"], key)
        await producer.send_and_wait(topic, b"after", headers=[("fine", b"x")])
    async with asyncio.timeout(10):
        records = await read_topic(topic)
    assert [(record.offset, record.value) for record in records] == [
        (0, b"before"),
        (1, b"first"),
        (2, b"second"),
        (3, b"after"),
    ]
    assert records[1].headers == ((key.decode("utf-8", "backslashreplace"), b""),)
    assert records[3].headers == (("fine", b"x"),)


async def test_what_was_aborted_stays_unread_behind_such_a_record(kafka_settings: Settings, make_topic: Make) -> None:
    topic = f"{kafka_settings.topic_prefix}aborted"
    await make_topic(topic)
    async with make_producer(kafka_settings, transactional_id=f"{topic}.writer") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        await send_with_header(kafka_settings, topic, 0, [b"odd"], b"\xff")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted too")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")
    partition = TopicPartition(topic, 0)
    async with make_consumer(kafka_settings, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        found: list[bytes] = []
        async with asyncio.timeout(10):
            while b"committed" not in found:
                found += [
                    record.value
                    for record in (await consumer.getmany(partition, timeout_ms=100)).get(partition, ())
                    if record.value is not None
                ]
    assert found == [b"odd", b"committed"]


async def test_nothing_is_read_twice_before_a_record_in_the_middle_of_a_later_batch(
    kafka_settings: Settings, make_topic: Make, read_topic: Read
) -> None:
    topic = f"{kafka_settings.topic_prefix}twice"
    await make_topic(topic)
    async with make_producer(kafka_settings) as producer:
        for value in (b"0", b"1"):
            await producer.send_and_wait(topic, value)
        await send_with_header(kafka_settings, topic, 0, [b"2", b"3", b"4"], b"\xff", odd_from=1)
        await producer.send_and_wait(topic, b"5")
    async with asyncio.timeout(10):
        records = await read_topic(topic)
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3", b"4", b"5"]


HUGE = 300 << 20
PROCESS_MIB = 200
"""A process that has imported the clients, and the bound of a fetch, take less than this together."""

READ = """
import asyncio, sys
from pathlib import Path
from aiokafka import TopicPartition
from broadcast.kafka.clients import make_consumer
from broadcast.settings import Settings

async def read(topic, count):
    partition, found = TopicPartition(topic, 0), 0
    async with make_consumer(Settings(), auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        while found < count:
            found += sum(map(len, (await consumer.getmany(partition, timeout_ms=100)).values()))

asyncio.run(read(sys.argv[1], int(sys.argv[2])))
(highest,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(highest.split()[1]) // 1024)
"""


@pytest.mark.parametrize("codec", ["GZIP", "LZ4", "ZSTD"])
async def test_a_batch_that_decompression_makes_huge_is_one_unreadable_record_and_takes_no_memory(
    kafka_settings: Settings, make_topic: Make, read_topic: Read, codec: str
) -> None:
    topic = f"{kafka_settings.topic_prefix}huge"
    await make_topic(topic)
    number = getattr(DefaultRecordBatch, f"CODEC_{codec}")
    # LZ4 makes data at most 255 times smaller, and Kafka takes one megabyte.
    await send_compressed(kafka_settings, topic, [b"first", b"\0" * (HUGE // 2 if codec == "LZ4" else HUGE)], number)
    await send_compressed(kafka_settings, topic, [b"fine", b"too"], number)
    records = await read_topic(topic)
    assert [(record.offset, record.value) for record in records[1:]] == [(2, b"fine"), (3, b"too")]
    assert records[0].offset == 1
    assert records[0].value is not None
    assert records[0].value.startswith(b"The batch of offsets 0 to 1 of this partition was not read: it has more than")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", READ, topic, "3"),
        env={"PATH": os.environ["PATH"], "BROADCAST_KAFKA_BOOTSTRAP": kafka_settings.kafka_bootstrap},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert int(out.split()[-1]) < PROCESS_MIB, "most memory that the process ever had"


async def test_many_batches_that_are_just_small_enough_are_not_held_together(
    kafka_settings: Settings, make_topic: Make
) -> None:
    topic = f"{kafka_settings.topic_prefix}many"
    await make_topic(topic)
    for _ in range(20):
        await send_compressed(
            kafka_settings, topic, [b"\0" * (BATCH_BYTES_MAX - 200_000)], DefaultRecordBatch.CODEC_ZSTD
        )
    partition, most, found = TopicPartition(topic, 0), 0, 0
    async with make_consumer(kafka_settings, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        async with asyncio.timeout(30):
            while found < 20:
                records = (await consumer.getmany(partition, timeout_ms=100)).get(partition, [])
                found += len(records)
                most = max(most, len(records))
    assert most <= 5
