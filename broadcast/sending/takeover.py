"""How a sender gets its partitions: its names, its Kafka clients, and taking over from the sender before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, TypeVar

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from broadcast.alarms import JOBS_DELETED_UNSENT, JOBS_LOST_THEIR_TAIL, Alarms, keep_alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.errors import LEASE_EXIT_CODE
from broadcast.kafka.clients import AWAY, Consumer, make_admin, make_consumer, make_producer, start_client
from broadcast.kafka.fencing import fence_owners, find_offsets
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import Position, cut_to_beginning, cut_to_end, fresh_position
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.retry import Backoff, retry
from broadcast.routing import Route
from broadcast.sending.answers.tokens import Token
from broadcast.sending.beat import SLOW_SECONDS
from broadcast.sending.control import ControlReader
from broadcast.sending.forwarding import Forwarder
from broadcast.sending.progress import Progress
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.rules import longest_wait_ms
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Source, Sources
from broadcast.settings import Settings
from schemas.lane import LANES, Lane
from schemas.topics import Names

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 2.0
"""What an SMSC has not answered by then is unknown: a stop must not wait for it without limit."""

DRAIN_STEP_SECONDS: Final = 0.02

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
async def connect(settings: Settings, route: Route) -> AsyncIterator[Connections]:
    """Connect a sender to Kafka and fence the one before it in its slot. Waits while Kafka is away."""
    identity = Identity.of(settings, route)
    async with (
        open_clients(settings, identity) as clients,
        ControlReader.open(settings) as control,
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


class Takeover:
    """Takes over the partitions that the group has given to this sender; `sources` are those it has taken over."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        membership: Membership,
        lease: Lease,
        events: SenderEvents,
    ) -> None:
        self.sources: Final[dict[TopicPartition, Source[Token]]] = {}
        self._settings: Final = settings
        self._identity: Final = connections.identity
        self._clients: Final = connections.clients
        self._membership: Final = membership
        self._lease: Final = lease
        self._events: Final = events

    async def take_over(self, generation: int) -> bool:
        """Fence who had the partitions, read their positions, make their sources, begin the lease.

        False when there are none, or the group has given others meanwhile.
        """
        partitions = self._membership.partitions
        if not partitions:
            return False
        consumer, identity = self._clients.consumer, self._identity
        positions, asked_at = await fence_owners(
            self._settings, self._clients.admin, identity.group, partitions, identity.owner
        )
        beginnings = await find_offsets(consumer.beginning_offsets, list(positions))
        ends = await find_offsets(consumer.end_offsets, list(positions))
        # No await from here to the sources: what is read meanwhile would belong to neither generation.
        if generation != self._membership.generation:
            return False
        for partition, position in positions.items():
            found = self._cut_to_log(partition, position, beginnings[partition], ends[partition])
            consumer.seek(partition, found.offset)
            progress: Progress[Token] = Progress(found, identity.owner)
            wait_ms = longest_wait_ms(identity.delays.get(partition.topic, 0))
            lane, log_end = identity.lanes[partition.topic], ends[partition]
            self.sources[partition] = Source(partition, lane, progress, wait_ms, log_end)
        self._lease.renew(asked_at)
        return True

    def give_back(self) -> None:
        """A beat has given the positions up: no partition is held, and no lease."""
        self.sources.clear()
        self._lease.release()

    async def close_marks(self, generation: int) -> None:
        """After an idle beat's time, end the marking of possible duplicates at each log's present end.

        The owner before, if it still runs, learns of the fence at its next beat, and may write until then.
        """
        marked = [source for source in self.sources.values() if source.progress.marks_open]
        if not marked:
            return
        await self._membership.sleep(self._settings.idle_beat_seconds + SLOW_SECONDS)
        ends = await find_offsets(self._clients.consumer.end_offsets, [source.partition for source in marked])
        if generation == self._membership.generation:
            for source in marked:
                source.progress.close_marks(ends[source.partition])

    def _cut_to_log(self, partition: TopicPartition, position: Position | None, beginning: int, end: int) -> Position:
        # Jobs that came after Kafka lost its tail and before this takeover count as done: the sweep finds them queued.
        if position is None:
            return fresh_position(beginning)
        if position.offset < beginning:
            kind = JOBS_DELETED_UNSENT
        elif position.end > end:
            kind = JOBS_LOST_THEIR_TAIL
        else:
            return position
        detail = (
            f"the position is {position.offset} to {position.end}, and Kafka has {beginning} to {end}; look who is "
            "still queued, and alert them anew"
        )
        self._events.raise_alarm(kind, f"{partition.topic}/{partition.partition}", detail)
        return cut_to_end(cut_to_beginning(position, beginning), end)


async def drain(sources: Sources, settlement: Settlement) -> None:
    """Wait a little for answers, then settle what is unanswered as unknown."""
    progresses = [source.progress for source in sources.values()]
    deadline = monotonic() + DRAIN_SECONDS
    settlement.retry_throttled(epoch_milliseconds())
    while monotonic() < deadline and any(progress.unanswered() for progress in progresses):
        await asyncio.sleep(DRAIN_STEP_SECONDS)
        settlement.retry_throttled(epoch_milliseconds())
    for progress in progresses:
        settlement.give_up(progress.unanswered(), epoch_milliseconds())
