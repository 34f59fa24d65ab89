"""Reading dead letters, one after another: memory does not grow with their number."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from broadcast.deadletters.letters import Found, Marks, is_note, read_letter
from broadcast.errors import FencedError, InputError, UnavailableError
from broadcast.kafka.clients import make_consumer
from broadcast.kafka.events import FENCED
from broadcast.settings import Settings
from schemas.topics import Names

READ_BUDGET_SECONDS = 10.0
"""For the next batch of dead letters: far above a broker's answer, below a person's patience."""


async def stream_deadletters(settings: Settings, *, since: int = 0) -> AsyncGenerator[Found, None]:
    """The dead letters from an offset on, oldest first, those that were replayed or dismissed marked so.

    The topic is read twice, because what was decided about a letter stands behind it. UnavailableError, here and below,
    when Kafka or the topic of dead letters is away.
    """
    async with reaching_letters(settings), open_log(settings) as log:
        marks = Marks(max(log.begin, since), log.end)
        async for record in log.read(since):
            marks.note(record)
        async for record in log.read(since):
            if not is_note(record):
                yield read_letter(record, marks)


async def find_deadletter(settings: Settings, offset: int) -> Found:
    """The dead letter at an offset; InputError when there is none."""
    found = None
    async with reaching_letters(settings), open_log(settings) as log:
        marks = Marks(offset, offset + 1)
        async for record in log.read(offset):
            marks.note(record)
            if record.offset == offset and not is_note(record):
                found = record
    if found is None:
        raise InputError(
            f"offset {offset}: no dead letter is kept there; `broadcast deadletters list` shows those that are"
        )
    return read_letter(found, marks)


@asynccontextmanager
async def reaching_letters(settings: Settings) -> AsyncIterator[None]:
    """Turn what Kafka clients raise within into errors that say what to do."""
    try:
        yield
    except FENCED as error:
        raise FencedError("another command decides about a dead letter at this moment: run this one again") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"no dead letters can be read at BROADCAST_KAFKA_BOOTSTRAP = {settings.kafka_bootstrap} ({error!r}); "
            f"start the broker, correct the address, or run `broadcast topics create`"
        ) from error


@dataclass(frozen=True, slots=True)
class Log:
    """The topic of dead letters as it was when it was opened: the offsets from `begin` to before `end`."""

    consumer: AIOKafkaConsumer
    partition: TopicPartition
    begin: int
    end: int

    async def read(self, since: int) -> AsyncIterator[Any]:
        """The records from an offset on."""
        self.consumer.seek(self.partition, max(self.begin, since))
        while await asyncio.wait_for(self.consumer.position(self.partition), READ_BUDGET_SECONDS) < self.end:
            for records in (await self.consumer.getmany(self.partition, timeout_ms=200)).values():
                for record in records:
                    yield record


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[Log]:
    """Connect, and find where the topic of dead letters begins and ends."""
    partition = TopicPartition(Names(settings.topic_prefix).deadletters, 0)
    consumer = make_consumer(settings, auto_offset_reset="earliest")
    consumer.assign([partition])
    try:
        await consumer.start()
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        yield Log(consumer, partition, begin, end)
    finally:
        await consumer.stop()
