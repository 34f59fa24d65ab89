"""One event at a time, exactly once: its output and the position of its partition are one transaction.

Planner and expander work through this (`docs/adr/0002`). Each input partition has a transactional producer of its
own, `<prefix><stage>.<topic>.<partition>`: starting it fences whoever had the partition before, and only then is the
position read, so that nobody moves it afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from broadcast import metrics
from broadcast.clock import monotonic
from broadcast.errors import FencedError
from broadcast.kafka.batches import Record, send_record
from broadcast.kafka.clients import ENDED, make_producer
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.settings import Settings

STOP_BUDGET_SECONDS = 2.0
"""For a producer's stop and for an abort: what hangs longer is left to the broker, until the next one fences it."""

CLOSE_SECONDS = 0.2
"""For the connections of a producer that did not stop, and for the requests that were on them."""

FENCED = (ProducerFenced, InvalidProducerEpoch)


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
        """A transaction that ends with the position after `offset`; what was added to it is awaited before its commit.

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
                position = {self.partition: OffsetAndMetadata(offset + 1, "")}
                # One after the other: a broker that verifies two writes of a transaction at the same time refuses one
                # of them for now, and aiokafka tries that again after 0.1 s.
                await sending.confirm()
                await self.producer.send_offsets_to_transaction(position, self.group)
            except FENCED:
                raise
            except BaseException:
                await self._abort()
                raise
            await self.producer.note_commit()
        except FENCED as error:
            raise self._fenced() from error
        except ENDED as error:
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
        # A producer that has ended has nothing to abort.
        with suppress(*ENDED):
            await asyncio.wait_for(self.producer.abort_transaction(), STOP_BUDGET_SECONDS)


def ending_of(producer: AIOKafkaProducer) -> BaseException | None:
    """The error that ended a producer's sender; None while it works.

    After that the producer does nothing, and answers with IllegalOperation or an AssertionError.
    """
    task: asyncio.Task[None] | None = producer._sender.sender_task
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer, fenced or not, within `STOP_BUDGET_SECONDS`; records that are not written by then are given up.

    Whoever still waits for such a record gets KafkaError.
    """
    try:
        with suppress(*ENDED):
            await asyncio.wait_for(producer.stop(), STOP_BUDGET_SECONDS)
    finally:
        await _let_go(producer)


async def _let_go(producer: AIOKafkaProducer) -> None:
    # A stop that was cut short leaves aiokafka's sender at work, and its connections open.
    sending: asyncio.Task[None] | None = producer._sender.sender_task
    if sending is not None:
        sending.cancel()
    with suppress(*ENDED):
        await asyncio.wait_for(producer.client.close(), CLOSE_SECONDS)
    if sending is not None and not sending.done():
        # It waits for the requests that were on their way, which have no connection any more.
        await asyncio.wait((sending,), timeout=CLOSE_SECONDS)
        sending.cancel()
        await asyncio.wait((sending,), timeout=CLOSE_SECONDS)
    accumulator = producer._message_accumulator
    batches = {*(batch for queue in accumulator._batches.values() for batch in queue), *accumulator._pending_batches}
    # aiokafka removes a batch from these when it ends, also one that it had put back.
    accumulator._pending_batches.update(batches)
    accumulator.fail_all(KafkaError("the producer was stopped before this was written"))
    # What ended so is told to futures of aiokafka's own that nobody awaits, and asyncio complains of those.
    waiters = [producer._txn_manager._transaction_waiter]
    for batch in batches:
        waiters += [batch._drain_waiter, *(future for future, _ in batch._msg_futures)]
    for waiter in waiters:
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()


async def _settle(*parts: Awaitable[Any]) -> None:
    # All are over when one has failed: an abort must not overtake what is on its way. A fence explains other errors.
    answers = await asyncio.gather(*parts, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if errors:
        raise next((error for error in errors if isinstance(error, FENCED)), errors[0])


class _Sending:
    # Records on their way within one transaction. aiokafka tells of a failed one only to who awaits it.

    def __init__(self) -> None:
        self._futures: list[Awaitable[Any]] = []

    def add(self, future: Awaitable[Any]) -> None:
        self._futures.append(future)

    async def confirm(self) -> None:
        await _settle(*self._futures)
