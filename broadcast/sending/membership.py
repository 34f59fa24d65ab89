"""How a sender joins its group: its names, its Kafka clients, and the partitions that the group gives it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, TypeVar

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from broadcast.alarms import Alarms, keep_alarms
from broadcast.errors import LEASE_EXIT_CODE
from broadcast.kafka.broker_clock import BrokerClock
from broadcast.kafka.clients import AWAY, Consumer, make_admin, make_consumer, make_producer, start_client
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.retry import Backoff, retry
from broadcast.routing import Route
from broadcast.sending.control import ControlReader
from broadcast.sending.forwarding import Forwarder
from broadcast.sending.protocol import SenderEvents
from broadcast.settings import Settings
from schemas.lane import LANES, Lane
from schemas.topics import Names

log = structlog.get_logger(__name__)

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Identity:
    """The names under which a sender works, and its topics.

    `owner` is its transactional id, `member` its group.instance.id. `lanes` has the lane of every topic, `delays` the
    seconds of every delay topic. Exactly one sender of the route has the partition `first`.
    """

    group: str
    owner: str
    member: str
    lanes: Mapping[str, Lane]
    delays: Mapping[str, int]
    first: TopicPartition

    @classmethod
    def of(cls, settings: Settings, route: Route) -> "Identity":
        """The sender of a route in the slot of the settings."""
        names = Names(settings.topic_prefix)
        group = f"{settings.topic_prefix}sender.{route.name}"
        lanes = {names.jobs(route.name, lane): lane for lane in LANES}
        delays: dict[str, int] = {}
        for lane, seconds in product(LANES, route.delays_seconds):
            topic = names.delay(route.name, lane, seconds)
            lanes[topic], delays[topic] = lane, seconds
        owner, member = f"{group}.{settings.slot}", f"sender-{route.name}-{settings.slot}"
        return cls(group, owner, member, lanes, delays, TopicPartition(names.jobs(route.name, Lane.IMMEDIATE), 0))


@dataclass(slots=True)
class Clients:
    """Transactional producer, consumer in its group (not yet subscribed), admin client: all connected."""

    producer: TransactionalProducer
    consumer: Consumer
    admin: AIOKafkaAdminClient


@dataclass(slots=True)
class Connections:
    """All that a sender has open before it joins its group."""

    identity: Identity
    clients: Clients
    control: ControlReader
    forwarder: Forwarder
    alarms: Alarms


@asynccontextmanager
async def connect(settings: Settings, route: Route, clock: BrokerClock) -> AsyncIterator[Connections]:
    """Connect a sender to Kafka and fence the one before it in its slot. Waits while Kafka is away."""
    identity = Identity.of(settings, route)
    async with (
        open_clients(settings, identity) as clients,
        ControlReader.open(settings, clock.now_ms) as control,
        Forwarder.open(settings, route.name) as forwarder,
        keep_alarms(settings) as alarms,
    ):
        yield Connections(identity, clients, control, forwarder, alarms)


@asynccontextmanager
async def open_clients(settings: Settings, identity: Identity) -> AsyncIterator[Clients]:
    """Connect, and wait without limit for a broker or topics that are not there.

    The producer first: that fences the sender that had this slot before, so that no other can commit for `owner` when
    the group gives us partitions.
    """
    async with AsyncExitStack() as stack:
        producer = await _start(
            stack, lambda: make_producer(settings, transactional_id=identity.owner), TransactionalProducer.stop
        )
        admin = await _start(stack, lambda: make_admin(settings), AIOKafkaAdminClient.close)
        consumer = await _start(
            stack,
            lambda: make_consumer(settings, group_id=identity.group, group_instance_id=identity.member),
            Consumer.stop,
        )
        # A buffered partition would delay the fetches of all others of its broker by 0.1 s, urgent ones too.
        consumer._fetcher._prefetch_backoff = 0.0
        await _wait_for_topics(consumer, frozenset(identity.lanes))
        yield Clients(producer, consumer, admin)


async def _start(stack: AsyncExitStack, make: Callable[[], C], close: Callable[[C], Awaitable[Any]]) -> C:
    client = await start_client("sender", make, close)
    stack.push_async_callback(close, client)
    return client


async def _wait_for_topics(consumer: Consumer, wanted: frozenset[str]) -> None:
    """A group that subscribes to a topic before it exists does not hear of it for minutes."""
    pause = Backoff()
    while True:
        missing = wanted - await retry("topics", consumer.topics, service="kafka", away=AWAY)
        if not missing:
            return
        log.warning("topics_not_found", topics=sorted(missing), remedy="broadcast topics create")
        await pause.sleep()


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """What the group gives this sender and takes from it.

    Counts generations, so that what was read or asked for in one is not used in the next.
    """

    def __init__(self, events: SenderEvents) -> None:
        self.generation = 0
        self.partitions: frozenset[TopicPartition] = frozenset()
        self._events: Final = events
        self._assigned: Final = asyncio.Event()

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - the listener's form
        self.generation += 1
        self.partitions = frozenset()
        try:
            await self._events.release_partitions()
        except Exception as error:
            log.exception("partitions_not_released")
            # aiokafka would log it and go on.
            self._events.end_process(LEASE_EXIT_CODE, f"partitions could not be released: {error!r}")
            raise

    async def on_partitions_assigned(self, assigned: "set[TopicPartition]") -> None:
        self.generation += 1
        self.partitions = frozenset(assigned)
        self._assigned.set()

    def leave(self) -> None:
        """Hold no partition any more: a takeover that is under way is of a generation that is over."""
        self.generation += 1
        self.partitions = frozenset()

    async def sleep(self, seconds: float) -> None:
        """Wait so long, or until the next assignment."""
        try:
            async with asyncio.timeout(seconds):
                await self._assigned.wait()
        except TimeoutError:
            pass

    async def wait(self) -> int:
        """Wait for the next assignment; its generation."""
        await self._assigned.wait()
        self._assigned.clear()
        return self.generation
