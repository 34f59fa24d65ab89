"""A sender's Kafka clients, opened in the order that its protocol wants."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from broadcast.kafka.clients import make_admin, make_consumer, make_producer
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

BACKOFF_SECONDS: Final = 0.2
BACKOFF_LIMIT_SECONDS: Final = 2.0

C = TypeVar("C")


@dataclass(slots=True)
class Clients:
    """Transactional producer, consumer in its group (not yet subscribed), admin client."""

    producer: TransactionalProducer
    consumer: AIOKafkaConsumer
    admin: AIOKafkaAdminClient

    async def close(self) -> None:
        """Disconnect in reverse order."""
        await self.consumer.stop()
        await self.producer.stop()
        await self.admin.close()


async def open_clients(settings: Settings, *, owner: str, group: str, member: str, topics: Iterable[str]) -> Clients:
    """Connect, and wait without limit for a broker or topics that are not there.

    The producer first: that fences whoever was in this slot before, so that nobody but us can commit for `owner` when
    the group gives us partitions.
    """
    producer = await _connect(lambda: make_producer(settings, transactional_id=owner), TransactionalProducer.stop)
    admin = await _connect(lambda: make_admin(settings), AIOKafkaAdminClient.close)
    consumer = await _connect(
        lambda: make_consumer(settings, group_id=group, group_instance_id=member), AIOKafkaConsumer.stop
    )
    # A buffered partition would hold up the fetches of all others of its broker for 0.1 s: what is urgent, too.
    consumer._fetcher._prefetch_backoff = 0.0
    await _wait_for_topics(consumer, frozenset(topics))
    return Clients(producer, consumer, admin)


async def _connect(make: Callable[[], C], close: Callable[[C], Any]) -> C:
    backoff = BACKOFF_SECONDS
    while True:
        client = make()
        try:
            await client.start()  # type: ignore[attr-defined]
            return client
        except (KafkaError, OSError) as error:
            await close(client)
            log.warning("kafka_away", error=repr(error))
            backoff = await _back_off(backoff)
        except BaseException:
            await close(client)
            raise


async def _wait_for_topics(consumer: AIOKafkaConsumer, wanted: frozenset[str]) -> None:
    """A group that subscribes to a topic before it exists does not hear of it for minutes."""
    backoff = BACKOFF_SECONDS
    while True:
        try:
            missing = wanted - await consumer.topics()
            if not missing:
                return
            log.warning("topics_missing", topics=sorted(missing), remedy="broadcast topics create")
        except (KafkaError, OSError) as error:
            log.warning("kafka_away", error=repr(error))
        backoff = await _back_off(backoff)


async def _back_off(backoff: float) -> float:
    await asyncio.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311 - spreads reconnects, keeps no secret
    return min(BACKOFF_LIMIT_SECONDS, backoff * 2)
