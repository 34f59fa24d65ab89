"""Records that any Kafka client can write, and that no stage may stop at."""

import asyncio

import pytest
from aiokafka import TopicPartition

from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.settings import Settings
from tests.support.headers import send_with_header

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
