"""The API's producer: kept connected, and thrown away when it could not deliver in time.

An idempotent producer of aiokafka never gives a record up, so one that was answered with 503 could still be published
hours later. Throwing the producer away ends that: what was not on the wire never leaves.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from broadcast.api.problems import unavailable
from broadcast.health import Health
from broadcast.kafka.batches import Record, write_records
from broadcast.kafka.clients import AWAY, make_producer
from broadcast.retry import Backoff
from broadcast.settings import Settings
from schemas.topics import Names

WRITE_BUDGET_SECONDS = 5.0
"""Longest wait for all in-sync replicas: a leader election fits in, a caller's patience does too."""

CONNECT_BUDGET_SECONDS = 10.0

LONGEST_PAUSE_SECONDS = 0.5
"""Callers are refused until it is connected."""


log = structlog.get_logger(__name__)


class Publisher:
    """Writes records to Kafka, or says within `WRITE_BUDGET_SECONDS` that it could not."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self._settings = settings
        self._health = health
        self._names = Names(settings.topic_prefix)
        self._producer: AIOKafkaProducer | None = None
        self._wanted = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._away("connecting")

    async def keep(self) -> None:
        """Stay connected until cancelled; then close."""
        pause = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)
        try:
            while True:
                await self._wanted.wait()
                try:
                    self._producer = await self._connect()
                except AWAY as error:
                    self._away(f"Kafka cannot be reached: {error!r}")
                    await pause.wait("kafka", "publisher", error)
                else:
                    self._wanted.clear()
                    self._health.release("kafka")
                    pause.reset()
        finally:
            if self._producer is not None:
                self._discard(self._producer, "stopping")
            if self._closing:
                await asyncio.wait(self._closing, timeout=WRITE_BUDGET_SECONDS)

    async def write(self, records: Sequence[Record]) -> None:
        """Write records; all in-sync replicas have them when this returns. Raises a 503 problem otherwise.

        After a 503 they may have been written all the same, if the broker's answer was lost: to repeat is harmless.
        """
        producer = self._producer
        if producer is None:
            raise unavailable("kafka", "Kafka cannot be reached, and nothing was accepted; repeat the request")
        try:
            async with asyncio.timeout(WRITE_BUDGET_SECONDS):
                await write_records(producer, records)
        except (TimeoutError, KafkaError) as error:
            log.warning("publish_failed", error=repr(error))
            self._discard(producer, repr(error))
            raise unavailable(
                "kafka",
                f"Kafka did not confirm within {WRITE_BUDGET_SECONDS:g} s; repeat the request as it is: what was"
                " accepted already is not accepted twice",
                unconfirmed=True,
            ) from error

    async def _connect(self) -> AIOKafkaProducer:
        producer = make_producer(self._settings)
        try:
            async with asyncio.timeout(CONNECT_BUDGET_SECONDS):
                await producer.start()
                for topic in (self._names.alerts, self._names.control):
                    await producer.partitions_for(topic)
        except AWAY:
            with suppress(*AWAY):
                await producer.stop()
            raise
        return producer

    def _discard(self, producer: AIOKafkaProducer, reason: str) -> None:
        if self._producer is not producer:
            return
        self._producer = None
        self._away(reason)
        task = asyncio.create_task(_close(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _away(self, reason: str) -> None:
        self._health.hold("kafka", reason)
        self._wanted.set()


async def _close(producer: AIOKafkaProducer) -> None:
    # stop() would first wait until everything is delivered, without limit. Requests under way end by their own timeout.
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        await asyncio.wait([sender])
    producer._closed = True
    with suppress(KafkaError, OSError):
        await producer.client.close()
