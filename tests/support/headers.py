"""Batches that aiokafka's producer cannot write, and other clients can."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from broadcast.settings import Settings


class _Key(str):
    """A header's key that is encoded as it stands, byte for byte."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


async def send_compressed(settings: Settings, topic: str, values: Sequence[bytes], codec: int) -> None:
    """Send records to partition 0 in one batch of this compression, however large they are before it."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=120_000)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 30)
        for value in values:
            batch.append(timestamp=None, key=b"key", value=value, headers=[])
        batch.close()
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


async def send_with_header(
    settings: Settings, topic: str, partition: int, values: Sequence[bytes], key: bytes, *, odd_from: int = 0
) -> None:
    """Send records in one batch, each from `odd_from` on with an empty header of this key, which need not be UTF-8."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 1 << 20)
        for index, value in enumerate(values):
            headers = [(_Key(key.decode("latin-1")), b"")] if index >= odd_from else []
            batch.append(timestamp=None, key=b"key", value=value, headers=headers)
        batch.close()
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
