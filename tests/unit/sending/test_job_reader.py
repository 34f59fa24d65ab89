"""Reading ahead: what was fetched for a source that is ours reaches it, whenever the wait began."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
from aiokafka import TopicPartition

from broadcast.kafka.position import fresh_position
from broadcast.sending.job_reader import JobReader
from broadcast.sending.progress import Progress
from broadcast.sending.sources import Source
from schemas.job import Job
from schemas.lane import Lane
from tests.support.sender_events import RecordedEvents

PARTITION = TopicPartition("jobs", 0)


class Consumer:
    """Answers a poll when it is told to, as aiokafka does when a fetch comes back."""

    def __init__(self) -> None:
        self.polls: asyncio.Queue[asyncio.Future[dict[TopicPartition, list[Any]]]] = asyncio.Queue()

    async def getmany(self, *_: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        poll: asyncio.Future[dict[TopicPartition, list[Any]]] = asyncio.get_running_loop().create_future()
        if not timeout_ms:
            return {}
        self.polls.put_nowait(poll)
        return await poll


def source_at(offset: int) -> Source[Any]:
    return Source(PARTITION, Lane.ROUTINE, Progress(fresh_position(offset), "me"))


def records(first: int, count: int) -> list[Any]:
    return [
        SimpleNamespace(offset=offset, timestamp=1, value=msgspec.json.encode(Job("a" * 36, offset, "+447700900123")))
        for offset in range(first, first + count)
    ]


async def test_jobs_that_a_poll_of_before_a_rebalance_brings_are_kept() -> None:
    consumer = Consumer()
    sources = {PARTITION: source_at(100)}
    reading = asyncio.create_task(JobReader(consumer, sources, RecordedEvents()).run())
    poll = await consumer.polls.get()
    sources.clear()
    sources[PARTITION] = source_at(100)
    poll.set_result({PARTITION: records(100, 10)})
    await consumer.polls.get()
    assert sum(map(len, sources[PARTITION].runs)) == 10
    reading.cancel()


async def test_jobs_of_a_partition_that_went_are_left_to_whoever_has_it() -> None:
    consumer = Consumer()
    sources = {PARTITION: source_at(100)}
    reading = asyncio.create_task(JobReader(consumer, sources, RecordedEvents()).run())
    poll = await consumer.polls.get()
    sources.clear()
    poll.set_result({PARTITION: records(100, 10)})
    await consumer.polls.get()
    assert not reading.done()
    reading.cancel()
