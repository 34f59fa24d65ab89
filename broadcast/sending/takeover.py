"""How a sender comes to its partitions: clients in order, and its place in the group (`docs/sender.md`)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from broadcast.kafka.clients import AWAY, make_admin, make_consumer, make_producer
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.retry import Backoff, retry
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
    pause = Backoff()
    while True:
        client = make()
        try:
            await client.start()  # type: ignore[attr-defined]
            return client
        except AWAY as error:
            await close(client)
            await pause.wait("kafka", "sender", error)
        except BaseException:
            await close(client)
            raise


async def _wait_for_topics(consumer: AIOKafkaConsumer, wanted: frozenset[str]) -> None:
    """A group that subscribes to a topic before it exists does not hear of it for minutes."""
    pause = Backoff()
    while missing := wanted - await retry("sender", consumer.topics, service="kafka", away=AWAY):
        log.warning("topics_awaited", topics=sorted(missing), remedy="broadcast topics create")
        await pause.sleep()
