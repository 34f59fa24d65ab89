"""Records to Kafka as whole batches."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

KeyValue = tuple[bytes, bytes]
"""Key and value of a record: plain pairs, because there is one for every message sent."""


async def send_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[KeyValue], timestamp: int
) -> list["asyncio.Future[Any]"]:
    """Hand records to a producer in as few batches as hold them; one future for each batch.

    The timestamp is in milliseconds since the epoch. A batch belongs to the producer that made it.
    """
    futures = []
    batch = producer.create_batch()
    append = batch.append
    for key, value in records:
        if append(timestamp=timestamp, key=key, value=value, headers=[]) is None:
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            append = batch.append
            append(timestamp=timestamp, key=key, value=value, headers=[])
    if batch.record_count():
        futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures
