"""Reading whole topics, as every consumer of ours reads them."""

import asyncio
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from broadcast.clock import monotonic
from broadcast.kafka.clients import make_consumer
from broadcast.settings import Settings

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

OPEN_SECONDS = 2.0
"""What a commit that was answered takes at most until readers see it; what is open for longer was not committed."""

READ_SECONDS = 60.0


async def read_topic(settings: Settings, topic: str) -> list[Record]:
    """Every committed record of a topic up to its end as it is now, partition by partition."""
    consumer: AIOKafkaConsumer = make_consumer(settings, auto_offset_reset="earliest")
    async with asyncio.timeout(READ_SECONDS), consumer:
        await consumer._client._wait_on_metadata(topic)
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        ends = await _settled_ends(settings, consumer, partitions)
        await consumer.seek_to_beginning(*partitions)
        found: dict[TopicPartition, list[Record]] = {partition: [] for partition in partitions}
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                found[partition] += records
    return [record for partition in partitions for record in found[partition]]


async def _settled_ends(
    settings: Settings, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    # A commit is answered before its markers are written, and until then read_committed ends before it.
    async with make_consumer(settings, isolation_level="read_uncommitted") as everything:
        written = await everything.end_offsets(partitions)
    deadline = monotonic() + OPEN_SECONDS
    while True:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        if monotonic() >= deadline or all(ends[partition] >= written[partition] for partition in partitions):
            return ends
        await asyncio.sleep(0.01)
