"""A record to be written, and the plain way to write some."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be written; without `partition` the key decides."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


async def write_records(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Write records, and return when all in-sync replicas have every one; raises what the producer raises."""
    await asyncio.gather(*[await send_record(producer, record) for record in records])


async def send_record(producer: AIOKafkaProducer, record: Record) -> "asyncio.Future[object]":
    """Hand one record to a producer; the future is done when all in-sync replicas have it."""
    confirmed: asyncio.Future[object] = await producer.send(
        record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
    )
    return confirmed
