"""Transactions that are over on every partition once they are said to be over (`docs/adr/0010`).

The broker answers a commit when its coordinator has noted it, and writes the markers that show it to readers after
that. A coordinator that starts again finds its note and goes on, but takes a partition without a leader at that moment
for a deleted one, and leaves its marker out for good (`TransactionMarkerChannelManager`, up to Apache Kafka 4.4). A
lone broker that was killed, or a cluster that lost its power, does that in every second start. Such a partition hides
all that follows from readers of committed records until the same transactional id ends another transaction there; and
if that is an abort, it takes the records with it whose commit was answered.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    NotCoordinatorError,
    NotLeaderForPartitionError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
    UnknownTopicOrPartitionError,
    for_code,
)

from broadcast.clock import monotonic
from broadcast.kafka.requests import DescribeProducersRequest, DescribeTransactionsRequest, WriteTxnMarkersRequest

log = structlog.get_logger(__name__)

OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTIONAL_ID_NOT_FOUND: Final = 105
NOT_OPEN: Final = -1
PAUSE_SECONDS: Final = 0.004
"""Between two looks at a transaction whose markers are being written, which takes a few milliseconds."""
LOOKUP_PAUSE_SECONDS: Final = 0.05
LEADERLESS_SECONDS: Final = 5.0
"""How long a partition may have no leader: a new one has it within a second."""
RIGHTS: Final = {
    TopicAuthorizationFailedError.errno: "this user needs READ on the topic",
    ClusterAuthorizationFailedError.errno: "this user needs ALTER on the cluster",
    TransactionalIdAuthorizationFailed.errno: "this user needs DESCRIBE on the transactional id",
}
ELSEWHERE: Final = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)
MOVING: Final = (LeaderNotAvailableError, NotLeaderForPartitionError, UnknownTopicOrPartitionError)

ENDING: Final = frozenset({"PrepareCommit", "PrepareAbort", "PrepareEpochFence"})
"""States of a transaction whose end is noted and whose markers are being written."""

ENDED: Final = {"CompleteCommit": True, "CompleteAbort": False}
"""States of a transaction that the coordinator takes for ended everywhere, and whether that was a commit."""


class UnsettledError(KafkaError):
    """A broker was lost while a transaction ended, so that its markers may be missing: start its producer anew."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last transaction of a transactional id, as its coordinator knows it; `began_at` in milliseconds."""

    state: str
    producer_id: int
    began_at: int


@dataclass(frozen=True, slots=True)
class Open:
    """A transaction that is open on one partition, and the node that leads this."""

    node: int
    topic: str
    partition: int
    producer_epoch: int
    coordinator_epoch: int


class TransactionalProducer(AIOKafkaProducer):
    """A producer whose commit and abort return once every partition has its marker.

    UnsettledError where a connection to a broker was lost before that is certain: then it does nothing more, and the
    next one to `start` with its id sees to the markers first.
    """

    def __init__(self, connection: Mapping[str, Any], topic_prefix: str, transactional_id: str, **options: Any) -> None:
        super().__init__(**connection, transactional_id=transactional_id, **options)
        self._connection = connection
        self._topic_prefix = topic_prefix
        self._transactional_id = transactional_id
        self._coordinator = Coordinator(self.client, transactional_id)
        self._connections: list[Any] = []
        self._settled = True

    async def start(self) -> None:
        """Settle the last transaction of this id, then fence its former owner."""
        await settle(self._connection, self._topic_prefix, self._transactional_id)
        await super().start()

    async def begin_transaction(self) -> None:
        """Begin a transaction; UnsettledError if the one before may still be open on a partition."""
        if not self._settled:
            raise UnsettledError(f"the last transaction of {self._transactional_id} may still be open somewhere")
        await super().begin_transaction()

    async def enlist(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Tell the coordinator what the transaction that has begun will write: positions of a group, and partitions.

        What is not named here is told when it is written, which takes a question more to the broker each: named before,
        all of it is one wait, and what the transaction carries can be chosen after that.
        """
        for partition in partitions:
            self._txn_manager.maybe_add_partition_to_txn(partition)
        while not await self._sender._do_add_offsets_to_txn(group):
            pass
        if not self._txn_manager.is_in_transaction():
            await self._txn_manager.wait_for_transaction_end()

    async def commit_transaction(self) -> None:
        """Commit; returns when readers of committed records see the transaction."""
        await self.note_commit()
        await self.confirm()

    async def abort_transaction(self) -> None:
        """Abort; returns when readers of committed records are past the transaction."""
        self._remember()
        await super().abort_transaction()
        await self.confirm()

    async def note_commit(self) -> None:
        """Do the first half of a commit: it cannot be undone after that, but readers may not see it yet."""
        self._remember()
        try:
            await super().commit_transaction()
        except KafkaError as error:
            if not isinstance(error.__cause__, UnknownError):
                raise
            # Asked for a commit in the moment in which it begins to fence this id, a coordinator cannot prepare the two
            # ends at once (TransactionMetadata.prepareTransitionTo), and has no name for that.
            raise ProducerFenced(f"the coordinator ends {self._transactional_id} otherwise: another has it") from error

    async def confirm(self) -> None:
        """Do the second half of a commit: returns when readers see it. Due before the next transaction."""
        await self._coordinator.look()
        if not all(connection.connected() for connection in self._connections):
            raise UnsettledError(f"a broker was lost while a transaction of {self._transactional_id} ended")
        self._settled = True

    def _remember(self) -> None:
        self._settled = False
        # Under the name "bootstrap" is one that is closed as soon as the brokers are known.
        self._connections = [
            connection for (node, _), connection in self.client._conns.items() if isinstance(node, int)
        ]


class Coordinator:
    """Asks the coordinator of one transactional id about its last transaction."""

    def __init__(self, client: AIOKafkaClient, transactional_id: str) -> None:
        self._client = client
        self._transactional_id = transactional_id
        self._node: int | None = None

    async def look(self) -> Last | None:
        """The last transaction, once its markers are written; None if the coordinator does not know the id."""
        while True:
            last = await self.describe()
            if last is None or last.state not in ENDING:
                return last
            await asyncio.sleep(PAUSE_SECONDS)

    async def describe(self) -> Last | None:
        """The last transaction as it is now; None if the coordinator does not know the id."""
        request = DescribeTransactionsRequest(self._transactional_id)
        while True:
            try:
                if self._node is None:
                    self._node = await self._client.coordinator_lookup(
                        CoordinationType.TRANSACTION, self._transactional_id
                    )
                answer = await self._client.send(self._node, request, group=ConnectionGroup.COORDINATION)
                code, _, state, _, began_at, producer_id, *_ = answer.transaction_states[0]
                if code == TRANSACTIONAL_ID_NOT_FOUND:
                    return None
                check(code, f"the transactional id {self._transactional_id}")
                return Last(state, producer_id, began_at)
            except ELSEWHERE:
                self._node = None
                await asyncio.sleep(LOOKUP_PAUSE_SECONDS)


async def settle(connection: Mapping[str, Any], topic_prefix: str, transactional_id: str) -> int:
    """Write the markers that the last transaction of an id lacks; returns the number of partitions.

    Looked for on every topic of the prefix and on the positions. One that is under way is left alone: whoever starts a
    producer with the id aborts it. `connection` is keywords for a client. KafkaError when the brokers do not answer,
    when a partition has no leader, or when the rights are missing: DESCRIBE on the id, READ on the topics, and ALTER on
    the cluster.
    """
    deadline = monotonic() + LEADERLESS_SECONDS
    client = AIOKafkaClient(**connection)
    try:
        await client.bootstrap()
        coordinator = Coordinator(client, transactional_id)
        while True:
            last = await coordinator.look()
            if last is None or last.state not in ENDED:
                return 0
            try:
                found = await _find_open(client, topic_prefix, last.producer_id)
            except MOVING:
                # A topic that was just made, a broker that was just lost.
                if monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOKUP_PAUSE_SECONDS)
                continue
            if not found:
                return 0
            # Unless the id lives, and began another one meanwhile.
            if await coordinator.look() == last:
                break
        for one in found:
            await _end(client, last, one)
    finally:
        await client.close()
    where = [f"{one.topic} {one.partition}" for one in found]
    log.warning("markers_written", transactional_id=transactional_id, state=last.state, partitions=where)
    return len(found)


async def _find_open(client: AIOKafkaClient, topic_prefix: str, producer_id: int) -> list[Open]:
    cluster = await client.fetch_all_metadata()
    led: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic in cluster.topics(exclude_internal_topics=False):
        if topic.startswith(topic_prefix) or topic == OFFSETS_TOPIC:
            for partition in cluster.partitions_for_topic(topic):
                leader = cluster.leader_for_partition(TopicPartition(topic, partition))
                if leader is None or leader < 0:
                    raise LeaderNotAvailableError(f"{topic} {partition} has no leader")
                led[leader][topic].append(partition)
    found = []
    for node, partitions in led.items():
        answer = await client.send(node, DescribeProducersRequest(partitions))
        for topic, described, _ in answer.topics:
            for partition, code, why, producers, _ in described:
                check(code, f"the producers of {topic} {partition}", why)
                found += [
                    Open(node, topic, partition, producer_epoch, coordinator_epoch)
                    for writer, producer_epoch, _, _, coordinator_epoch, start, _ in producers
                    if writer == producer_id and start != NOT_OPEN
                ]
    return found


async def _end(client: AIOKafkaClient, last: Last, one: Open) -> None:
    request = WriteTxnMarkersRequest(
        one.topic,
        one.partition,
        producer_id=last.producer_id,
        producer_epoch=one.producer_epoch,
        coordinator_epoch=max(0, one.coordinator_epoch),
        commit=ENDED[last.state],
    )
    answer = await client.send(one.node, request)
    for _, topics, _ in answer.markers:
        for topic, partitions, _ in topics:
            for partition, code, _ in partitions:
                check(code, f"the marker on {topic} {partition}")


def check(code: int, what: str, why: str | None = None) -> None:
    """Raise the broker's error, naming what it is about and, where a right is missing, which."""
    error = for_code(code)
    if error is not NoError:
        raise error(f"{what}: {RIGHTS.get(code) or why or f'error {code}'}")
