"""Writes what senders must know: control records and stops, in no transaction (`docs/adr/0012`)."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from broadcast.kafka.batches import Record, write_records
from broadcast.kafka.clients import ENDED, make_producer
from broadcast.kafka.events import stop_producer
from broadcast.settings import Settings

WRITE_SECONDS: Final = 10.0
"""Longest wait for all in-sync replicas; whoever writes begins anew after it, with the same records."""


class ControlWriter:
    """Writes records to `control.v1` with an idempotent producer of its own, which is connected at the first write."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._producer: AIOKafkaProducer | None = None

    async def write(self, records: Sequence[Record]) -> None:
        """Write records in their order; all in-sync replicas have them when this returns.

        KafkaError otherwise: then some may be written, now or later, so the same ones are to be written again.
        """
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await write_records(await self._connected(), records)
        except TimeoutError:
            await self.stop()
            raise KafkaTimeoutError(f"control was not written within {WRITE_SECONDS:g} s") from None
        except ENDED as error:
            # A producer that was refused once has a hole in its sequence: Kafka refuses all that follows.
            await self.stop()
            if isinstance(error, KafkaError):
                raise
            raise KafkaError(f"control was not written: {error!r}") from error

    async def connect(self) -> None:
        """Connect before the first write; KafkaError while Kafka is away."""
        await self._connected()

    async def stop(self) -> None:
        """Disconnect; the next write connects again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = make_producer(self._settings)
            try:
                await producer.start()
            except BaseException:
                await stop_producer(producer)
                raise
            self._producer = producer
        return self._producer
