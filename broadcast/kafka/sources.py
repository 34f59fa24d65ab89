"""The input partitions of a stage: each has its source made once, with whoever had it before fenced."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from broadcast.errors import LostTailError, UnavailableError
from broadcast.kafka.clients import AWAY, make_admin, make_consumer
from broadcast.kafka.events import Source
from broadcast.retry import Backoff
from broadcast.settings import Settings

UNREADY: tuple[type[BaseException], ...] = (*AWAY, UnavailableError)

NO_POSITION = -1
"""The broker's answer for a group that never committed: the only sign that a partition was never read."""


class Sources:
    """The sources of the partitions that this process has; each is made once after its assignment.

    `rereads`: the stage's events may be handled again without harm, so after a loss of Kafka's it begins with the first
    that an alert of now may rest on, not at the log's end.
    """

    def __init__(self, settings: Settings, stage: str, *, rereads: bool = False) -> None:
        self._settings = settings
        self._rereads = rereads
        self._stage = stage
        self._made: dict[TopicPartition, asyncio.Task[Source]] = {}
        self._ending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.drop(tuple(self._made))

    def prepare(self, partitions: Iterable[TopicPartition]) -> None:
        """Make sources before their first event, in the background: fencing and finding a position take 0.1 s."""
        for partition in partitions:
            self._make(partition)

    async def get(self, partition: TopicPartition) -> Source:
        """The source of a partition; waits without limit for the broker. LostTailError where Kafka has lost records."""
        while True:
            task = self._make(partition)
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if not task.cancelled() or (me is not None and me.cancelling()):
                    raise
                # Only the making was given up, because the partition was revoked meanwhile.

    def positions(self) -> dict[TopicPartition, int]:
        """The positions of the sources that are ready."""
        return {
            partition: task.result().position
            for partition, task in self._made.items()
            if task.done() and not task.cancelled() and task.exception() is None
        }

    async def drop(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop the sources of partitions that were revoked, or whose producer failed."""
        tasks = [task for partition in partitions if (task := self._made.pop(partition, None)) is not None]
        await asyncio.gather(*(_end(task) for task in tasks))

    def _make(self, partition: TopicPartition) -> asyncio.Task[Source]:
        task = self._made.get(partition)
        if task is None:
            task = self._made[partition] = asyncio.create_task(self._make_one(partition))
        return task

    async def _make_one(self, partition: TopicPartition) -> Source:
        source = await _make_source(self._settings, self._stage, partition, rereads=self._rereads)
        source.on_unsettled = self._renew
        return source

    def _renew(self, source: Source) -> None:
        """Make a source anew: its last transaction may be open, and no event may come that would show it."""
        task = self._made.get(source.partition)
        ready = task is not None and task.done() and not task.cancelled() and task.exception() is None
        if task is not None and ready and task.result() is source:
            del self._made[source.partition]
            self._make(source.partition)
            self._ending = asyncio.create_task(_end(task))


async def _end(task: asyncio.Task[Source]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await (await task).stop()


async def _make_source(settings: Settings, stage: str, partition: TopicPartition, *, rereads: bool) -> Source:
    pause = Backoff()
    while True:
        source = Source(settings, stage, partition)
        try:
            await source.producer.start()
            source.position = await find_position(settings, source.group, partition)
            if source.position:
                await _check_log(settings, source, rereads=rereads)
            return source
        except UNREADY as error:
            await source.stop()
            await pause.wait("kafka", f"{stage} on {partition.topic} {partition.partition}", error)
        except BaseException:
            await source.stop()
            raise


async def _check_log(settings: Settings, source: Source, *, rereads: bool) -> None:
    # A log that ends before the position has lost its tail: what comes next is new, and must not be taken for done.
    # Faust, too, passes over what is below the position that it found, until it is started anew.
    consumer = make_consumer(settings)
    try:
        await consumer.start()
        end: int = (await consumer.end_offsets([source.partition]))[source.partition]
        if end >= source.position:
            return
        lost, source.position = source.position, end
        if rereads:
            since = int((time.time() - settings.longest_expiry_seconds) * 1000)
            first = (await consumer.offsets_for_times({source.partition: since}))[source.partition]
            source.position = end if first is None else first.offset
    finally:
        await consumer.stop()
    async with source.producer.transaction():
        position = {source.partition: OffsetAndMetadata(source.position, "")}
        await source.producer.send_offsets_to_transaction(position, source.group)
    raise LostTailError(
        f"{source.partition.topic} {source.partition.partition} ends at {end}, and {lost} was read: Kafka's data is not"
        f" what it was. The position is {source.position} now; {source.stage} starts anew",
        f"{source.partition.topic}/{source.partition.partition}",
    )


async def read_ends(settings: Settings, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The offsets after the last committed records, asked of the broker at this moment."""
    consumer = make_consumer(settings)
    try:
        await consumer.start()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
    finally:
        await consumer.stop()


async def find_position(settings: Settings, group: str, partition: TopicPartition) -> int:
    """The committed offset of a group, 0 if it never committed; UnavailableError when the broker does not say.

    A partition that is missing from the answer means that the broker is not ready (it happens for a second after its
    start), not that there is no position: the admin client ignores the error that says so.
    """
    admin = make_admin(settings)
    try:
        await admin.start()
        found = await admin.list_consumer_group_offsets(group, partitions=[partition])
    finally:
        await admin.close()
    if partition not in found:
        raise UnavailableError(
            f"the position of {group} on {partition.topic} {partition.partition} is not to be had yet"
        )
    offset: int = found[partition].offset
    return 0 if offset == NO_POSITION else offset
