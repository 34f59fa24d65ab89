"""How a sender comes to its partitions: clients in order, and its place in the group (`docs/sender.md`)."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from broadcast.kafka.clients import make_admin, make_consumer, make_producer
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.settings import Settings

log = structlog.get_logger(__name__)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts generations, so that what was read or asked for in one is not used in the next.

    `release` is awaited before partitions go; `fail` ends the process when it fails, because aiokafka would go on.
    """

    def __init__(self, release: Callable[[], Awaitable[None]], fail: Callable[[str], None]) -> None:
        self.generation = 0
        self.partitions: frozenset[TopicPartition] = frozenset()
        self._release: Final = release
        self._fail: Final = fail
        self._assigned: Final = asyncio.Event()

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - the listener's form
        self.generation += 1
        self.partitions = frozenset()
        try:
            await self._release()
        except Exception as error:
            log.exception("partitions_not_released")
            self._fail(f"partitions could not be released: {error!r}")
            raise

    async def on_partitions_assigned(self, assigned: "set[TopicPartition]") -> None:
        self.generation += 1
        self.partitions = frozenset(assigned)
        self._assigned.set()

    async def sleep(self, seconds: float) -> None:
        """As long as that, or until the next assignment."""
        try:
            async with asyncio.timeout(seconds):
                await self._assigned.wait()
        except TimeoutError:
            pass

    async def wait(self) -> int:
        """The generation of the next assignment."""
        await self._assigned.wait()
        self._assigned.clear()
        return self.generation


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
