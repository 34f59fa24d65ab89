"""Where readers of committed records stand still before the end of a log, and whose open transaction it is."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy

from broadcast.kafka.clients import REQUEST_TIMEOUT_MS, security
from broadcast.kafka.markers import NOT_OPEN, check
from broadcast.kafka.requests import DescribeProducersRequest, ListTransactionsRequest
from broadcast.settings import Settings
from schemas.topics import Names

UNCOMMITTED: Final = 0
COMMITTED: Final = 1
"""The isolation levels of ListOffsets."""

_ByLeader = Mapping[int, Mapping[str, list[int]]]


class LogEnd(NamedTuple):
    """The last stable offset of a partition, and the offset after its last record."""

    stable: int
    end: int


class Writer(NamedTuple):
    """Who holds a transaction open; the transactional id is None where no coordinator tells it."""

    producer_id: int
    transactional_id: str | None


class LogEnds:
    """One look at all topics of ours that readers of committed records read; made by `open_log_ends`."""

    def __init__(self, client: AIOKafkaClient, names: Names) -> None:
        self._client: Final = client
        self._names: Final = names
        self._cluster = client.cluster

    async def read(self) -> dict[TopicPartition, LogEnd]:
        """Both ends of each partition that has a leader, two requests to each broker; raises KafkaError."""
        cluster = self._cluster = await self._client.fetch_all_metadata()
        # Readers of control.v1 and clock.v1 wait for no transaction.
        topics = (one for one in cluster.topics() if self._names.has(one))
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            if topic not in (self._names.control, self._names.clock)
            for number in cluster.partitions_for_topic(topic)
        ]
        led = self._by_leader(partitions)
        # In this order: what is written between the two looks is no stable offset that stands still.
        stable = await self._list(led, COMMITTED)
        ends = await self._list(led, UNCOMMITTED)
        return {partition: LogEnd(stable[partition], ends[partition]) for partition in stable.keys() & ends.keys()}

    async def find_writers(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Writer]:
        """Whose transaction is the oldest open one of each partition; those that are not known are left out.

        Raises KafkaError. Needs READ on the topics.
        """
        oldest: dict[TopicPartition, tuple[int, int]] = {}
        for node, topics in self._by_leader(partitions).items():
            answer = await self._client.send(node, DescribeProducersRequest(topics))
            for topic, described, _ in answer.topics:
                for number, code, why, producers, _ in described:
                    check(code, f"the producers of {topic} {number}", why)
                    begun = [(start, producer) for producer, _, _, _, _, start, _ in producers if start != NOT_OPEN]
                    if begun:
                        oldest[TopicPartition(topic, number)] = min(begun)
        names: dict[int, str] = {}
        if oldest:
            request = ListTransactionsRequest(sorted({producer for _, producer in oldest.values()}))
            for broker in self._cluster.brokers():
                for name, producer, *_ in (await self._client.send(broker.nodeId, request)).transaction_states:
                    names[producer] = name
        return {tp: Writer(producer, names.get(producer)) for tp, (_, producer) in oldest.items()}

    def _by_leader(self, partitions: Iterable[TopicPartition]) -> _ByLeader:
        led: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for partition in partitions:
            leader = self._cluster.leader_for_partition(partition)
            if leader is not None and leader >= 0:
                led[leader][partition.topic].append(partition.partition)
        return led

    async def _list(self, led: _ByLeader, isolation: int) -> dict[TopicPartition, int]:
        found = {}
        for node, topics in led.items():
            asked = [
                (topic, [(one, OffsetResetStrategy.LATEST) for one in numbers]) for topic, numbers in topics.items()
            ]
            for topic, told in (await self._client.send(node, OffsetRequest(-1, isolation, asked))).topics:
                for number, code, _, offset in told:
                    check(code, f"the end of {topic} {number}")
                    found[TopicPartition(topic, number)] = offset
        return found


@asynccontextmanager
async def open_log_ends(settings: Settings) -> AsyncIterator[LogEnds]:
    """A client for one look, or a few; raises KafkaError when no broker answers."""
    client = AIOKafkaClient(**security(settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        yield LogEnds(client, Names(settings.topic_prefix))
    finally:
        await client.close()
