"""One event at a time, exactly once: its output and the position of its partition are one transaction.

Planner and expander work through this (`docs/adr/0002`). Each input partition has a transactional producer of its
own, `<prefix><stage>.<topic>.<partition>`: starting it fences whoever had the partition before, and only then is the
position read, so that nobody moves it afterwards.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from broadcast import metrics
from broadcast.clock import monotonic
from broadcast.errors import FencedError, LostTailError, UnavailableError
from broadcast.kafka.clients import AWAY, make_admin, make_consumer, make_producer
from broadcast.kafka.records import Record, send_record
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.retry import Backoff
from broadcast.settings import Settings

STOP_BUDGET_SECONDS = 2.0
"""For a producer's stop and for an abort: what hangs longer is left to the broker, until the next one fences it."""

FENCED = (ProducerFenced, InvalidProducerEpoch)

UNREADY: tuple[type[BaseException], ...] = (*AWAY, UnavailableError)

NO_POSITION = -1
"""The broker's answer for a group that never committed: the only sign that a partition was never read."""


@dataclass(frozen=True, slots=True)
class Event:
    """One record as a stage reads it. `timestamp` in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0


def group_of(settings: Settings, stage: str) -> str:
    """The consumer group of a stage; it contains the prefix, because systems may share one broker."""
    return f"{settings.topic_prefix}{stage}"


def instance_of(settings: Settings, stage: str) -> str:
    """The static member id of this process."""
    return f"{stage}-{settings.slot}"


class Source:
    """One input partition: its producer, and its position, which is the first offset that is not done."""

    def __init__(self, settings: Settings, stage: str, partition: TopicPartition) -> None:
        self.stage = stage
        self.partition = partition
        self.group = group_of(settings, stage)
        self.transactional_id = f"{self.group}.{partition.topic}.{partition.partition}"
        self.producer: TransactionalProducer = make_producer(settings, transactional_id=self.transactional_id)
        self.position = 0
        self.on_unsettled: Callable[[Source], None] = lambda _: None
        self._confirming: asyncio.Task[None] | None = None

    async def commit(self, offset: int, records: Iterable[Record] = ()) -> None:
        """Commit records and the position after `offset` as one; FencedError if another process has the partition."""
        async with self.transaction(offset) as sending:
            for record in records:
                sending.add(await send_record(self.producer, record))

    @asynccontextmanager
    async def transaction(self, offset: int) -> AsyncIterator["_Sending"]:
        """A transaction that ends with the position after `offset`; what was added to it is awaited before that.

        It is over when its commit is answered; its markers are waited for by the next one, and `on_unsettled` is called
        if they may be missing. Any error or cancellation within aborts it. FencedError when another has taken the
        partition.
        """
        begun = monotonic()
        try:
            if self._confirming is not None:
                await self._confirming
            await self.producer.begin_transaction()
            try:
                sending = _Sending()
                yield sending
                await sending.confirm()
                position = {self.partition: OffsetAndMetadata(offset + 1, "")}
                await self.producer.send_offsets_to_transaction(position, self.group)
            except FENCED:
                raise
            except BaseException:
                await self._abort()
                raise
            await self.producer.note_commit()
        except FENCED as error:
            raise self._fenced() from error
        except (KafkaError, IllegalOperation, AssertionError) as error:
            # The last two are aiokafka's words for a producer whose sender has ended meanwhile.
            ending = ending_of(self.producer)
            if isinstance(ending, FENCED):
                raise self._fenced() from ending
            if ending is not None:
                raise KafkaError(f"the producer {self.transactional_id} has ended: {ending!r}") from error
            raise
        self.position = offset + 1
        self._confirming = asyncio.create_task(self.producer.confirm())
        self._confirming.add_done_callback(self._confirmed)
        metrics.transaction_duration.labels(self.stage).observe(monotonic() - begun)

    async def stop(self) -> None:
        """Stop the producer; an open transaction is ended by the next one with its id."""
        if self._confirming is not None:
            self._confirming.cancel()
        await stop_producer(self.producer)

    def _confirmed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.on_unsettled(self)

    def _fenced(self) -> FencedError:
        return FencedError(f"{self.transactional_id} was fenced: another process reads this partition")

    async def _abort(self) -> None:
        # AssertionError: aiokafka's word for a producer that is of no use any more, and so has nothing to abort.
        with suppress(KafkaError, TimeoutError, AssertionError):
            await asyncio.wait_for(self.producer.abort_transaction(), STOP_BUDGET_SECONDS)


def ending_of(producer: AIOKafkaProducer) -> BaseException | None:
    """The error that ended a producer's sender; None while it works.

    After that the producer does nothing, and answers with IllegalOperation or an AssertionError.
    """
    task: asyncio.Task[None] | None = producer._sender.sender_task
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a transactional producer, fenced or not, within `STOP_BUDGET_SECONDS`."""
    with suppress(KafkaError, TimeoutError, OSError):
        await asyncio.wait_for(producer.stop(), STOP_BUDGET_SECONDS)
    # What a fence ended is told to futures of aiokafka's own that nobody awaits, and asyncio complains of those.
    batches = [batch for queue in producer._message_accumulator._batches.values() for batch in queue]
    waiters = [producer._txn_manager._transaction_waiter, *(batch._drain_waiter for batch in batches)]
    for waiter in waiters:
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()


class _Sending:
    # Records on their way within one transaction. aiokafka tells of a failed one only to who awaits it.

    def __init__(self) -> None:
        self._futures: list[Awaitable[Any]] = []

    def add(self, future: Awaitable[Any]) -> None:
        self._futures.append(future)

    async def confirm(self) -> None:
        if self._futures:
            await asyncio.gather(*self._futures)


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
