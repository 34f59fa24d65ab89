"""Work that is left in the pipeline: what a queued recipient may still be waiting for."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from broadcast.audit.evidence.segments import read_positions
from broadcast.kafka.clients import make_admin, make_consumer
from broadcast.settings import Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

_MARKERS = 2
"""Ends of transactions that a position may not have passed. So few offsets are looked at: they may hold a record."""

_LOOK_SECONDS = 5.0


async def work_left(settings: Settings, connection: asyncpg.Connection) -> int | None:
    """Jobs that senders have left, or, if there are none, statuses that are not recorded; None if Kafka cannot say."""
    jobs = await jobs_left(settings)
    return await statuses_left(settings, connection) if jobs == 0 else jobs


async def statuses_left(settings: Settings, connection: asyncpg.Connection) -> int | None:
    """Offsets between the ends of the evidence and the ends of the statuses; None if Kafka cannot say."""
    topic = Names(settings.topic_prefix).statuses
    partitions = [TopicPartition(topic, number) for number in range(settings.status_partitions)]
    consumer = make_consumer(settings)
    try:
        await consumer.start()
        positions = await read_positions(connection, [(topic, tp.partition) for tp in partitions])
        found = {tp: positions[topic, tp.partition].offset for tp in partitions}
        return await _count_left(settings, consumer, found)
    except (KafkaError, OSError) as error:
        log.warning("work_not_counted", error=repr(error))
        return None
    finally:
        await consumer.stop()


async def jobs_left(settings: Settings) -> int | None:
    """Offsets between the senders' positions and the ends of their logs, over all routes; None if Kafka cannot say.

    Reads what is public: the topics under the prefix, and the groups `sender.<route>`.
    """
    start = f"{settings.topic_prefix}jobs."
    admin = make_admin(settings)
    consumer = make_consumer(settings)
    try:
        await admin.start()
        await consumer.start()
        by_route: dict[str, list[TopicPartition]] = defaultdict(list)
        for description in await admin.describe_topics(
            [name for name in await admin.list_topics() if name.startswith(start)]
        ):
            route = description["topic"].removeprefix(start).split(".")[0]
            by_route[route] += [
                TopicPartition(description["topic"], one["partition"]) for one in description["partitions"]
            ]
        left = 0
        for route, partitions in by_route.items():
            group = f"{settings.topic_prefix}sender.{route}"
            positions = await admin.list_consumer_group_offsets(group, partitions=partitions)
            if not set(partitions) <= positions.keys():
                return None
            found = await _count_left(settings, consumer, {tp: positions[tp].offset for tp in partitions})
            if found is None:
                return None
            left += found
        return left
    except (KafkaError, AttributeError, OSError) as error:
        # AttributeError: how aiokafka 0.14 reports an error of a single partition.
        log.warning("work_not_counted", error=repr(error))
        return None
    finally:
        await consumer.stop()
        await admin.close()


async def _count_left(
    settings: Settings, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]
) -> int | None:
    """Offsets between these positions and the ends of the logs; where there are only a few, the records among them.

    None if nothing is left that readers see, and a transaction is open: records behind it are not seen before its end.
    """
    begins = await consumer.beginning_offsets(list(positions))
    ends = await consumer.end_offsets(list(positions))
    behind: dict[TopicPartition, int] = {tp: ends[tp] - max(at, begins[tp]) for tp, at in positions.items()}
    few = [tp for tp, lag in behind.items() if 0 < lag <= _MARKERS]
    left = sum(lag for lag in behind.values() if lag > _MARKERS)
    if not left and few:
        left = await _count_records(consumer, {tp: (max(positions[tp], begins[tp]), ends[tp]) for tp in few})
    return None if not left and await _has_open_transaction(settings, ends) else left


async def _count_records(consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]) -> int:
    left = 0
    consumer.assign(list(spans))
    for tp, (begin, _) in spans.items():
        consumer.seek(tp, begin)
    async with asyncio.timeout(_LOOK_SECONDS):
        while any([await consumer.position(tp) < end for tp, (_, end) in spans.items()]):
            left += sum(map(len, (await consumer.getmany(*spans, timeout_ms=100)).values()))
    return left


async def _has_open_transaction(settings: Settings, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether a log is longer than what readers of committed records see, as with a frozen sender."""
    consumer = make_consumer(settings, isolation_level="read_uncommitted")
    try:
        await consumer.start()
        longest = await consumer.end_offsets(list(ends))
    finally:
        await consumer.stop()
    return any(longest[tp] > end for tp, end in ends.items())
