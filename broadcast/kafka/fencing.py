"""Fence the owners of partitions before their positions are read (`docs/sender.md`)."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from broadcast.clock import monotonic
from broadcast.errors import UnavailableError
from broadcast.kafka.clients import AWAY, make_producer
from broadcast.kafka.position import Position, read_position
from broadcast.retry import Backoff, retry
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

LONGEST_PAUSE_SECONDS: Final = 0.5
"""Between two questions: until they are answered nobody sends."""

NOT_SAID: tuple[type[BaseException], ...] = (*AWAY, AttributeError, UnavailableError)
"""Answers that say nothing about a position. AttributeError: aiokafka 0.14 reports an error of one partition so."""

NO_OFFSET: Final = -1


async def fence_owners(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    group: str,
    partitions: Iterable[TopicPartition],
    owner: str,
) -> tuple[dict[TopicPartition, Position | None], float]:
    """Fence every other owner of the partitions; their positions, and when they were asked for.

    None stands for a partition without a position. The instant is of the monotonic clock: a lease begins there.
    `owner` is the caller's transactional id, whose producer must have started: that fenced the one before in its slot.
    An owner that is named anew when the positions are read again is fenced as well, until none is.
    """
    wanted = frozenset(partitions)
    fenced: set[str] = set()
    while True:
        positions, asked_at = await read_positions(admin, group, wanted)
        others = {position.owner for position in positions.values() if position is not None} - {"", owner} - fenced
        if not others:
            return positions, asked_at
        for other in sorted(others):
            log.warning("owner_fenced", group=group, owner=other)
            await fence(settings, other)
            fenced.add(other)


async def fence(settings: Settings, transactional_id: str) -> None:
    """End the open transaction of a transactional id, and refuse all further ones of its present user."""

    async def start_and_stop() -> None:
        producer = make_producer(settings, transactional_id=transactional_id)
        try:
            await producer.start()
        finally:
            await producer.stop()

    await retry(f"fencing of {transactional_id}", start_and_stop, service="kafka", away=AWAY)


async def read_positions(
    admin: AIOKafkaAdminClient, group: str, partitions: frozenset[TopicPartition]
) -> tuple[dict[TopicPartition, Position | None], float]:
    """Positions of a group and the monotonic instant of asking; asked until the broker answers for each partition.

    An answer that leaves partitions out says nothing about them: a broker that has just started sends such. Only an
    explicit -1 means that there is no position. PositionError for metadata that cannot be read.
    """

    async def ask() -> tuple[Mapping[TopicPartition, OffsetAndMetadata], float]:
        asked_at = monotonic()
        answer: Mapping[TopicPartition, OffsetAndMetadata]
        answer = await admin.list_consumer_group_offsets(group, partitions=sorted(partitions))
        missing = len(partitions - answer.keys())
        if missing:
            raise UnavailableError(f"{missing} of {len(partitions)} partitions are not in the answer")
        return answer, asked_at

    pause = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)
    answer, asked_at = await retry(f"positions of {group}", ask, service="kafka", away=NOT_SAID, pause=pause)
    return {partition: _read(answer[partition]) for partition in partitions}, asked_at


def _read(committed: OffsetAndMetadata) -> Position | None:
    if committed.offset == NO_OFFSET:
        return None
    return read_position(committed.offset, committed.metadata or "")


async def find_offsets(
    find: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]], partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """What `find` says of the partitions, asked until the broker answers."""
    if not partitions:
        return {}
    pause = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)
    return await retry("offsets", lambda: find(partitions), service="kafka", away=AWAY, pause=pause)
