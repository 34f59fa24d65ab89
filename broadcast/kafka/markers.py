"""The markers that end a transaction on each of its partitions: waited for, and written where they are missing.

`docs/adr/0010` says how they come to be missing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    LeaderNotAvailableError,
    NoError,
    NotCoordinatorError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
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
"""Between two looks for a coordinator or a leader that moves; it is found again within a second."""
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
