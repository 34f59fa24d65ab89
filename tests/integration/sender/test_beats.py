"""One beat against a real broker: what it carries, and in which order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from broadcast.clock import monotonic
from broadcast.kafka.clients import make_producer, security
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import fresh_position
from broadcast.kafka.sources import find_position
from broadcast.kafka.topics import create_topics
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.routing import Account, Route
from broadcast.sending.answers.tokens import Token
from broadcast.sending.beat import BATCH, Beats, BeatSchedule
from broadcast.sending.control import ControlView
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Source
from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from tests.support.sender_events import RecordedEvents
from tests.support.topics import read_topic

ROUTE = Route(name="north", prefixes=("+",), accounts=(Account(name="acc", host="127.0.0.1", port=1, system_id="x"),))
GROUP = "sender.north"


class WatchedProducer(TransactionalProducer):
    """A sender's producer that says when it has enlisted partitions, and what was sent when positions were."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        options = {"acks": "all", "linger_ms": 0, "max_batch_size": 512 * 1024}
        super().__init__(security(settings), settings.topic_prefix, transactional_id, **options)
        self.on_enlisted: Callable[[], None] = lambda: None
        self.batches: list[asyncio.Future[object]] = []
        self.done_before_positions: list[bool] = []

    async def enlist(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        await super().enlist(group, partitions)
        self.on_enlisted()

    async def send_batch(self, *arguments: object, **options: object) -> asyncio.Future[object]:
        self.batches.append(await super().send_batch(*arguments, **options))
        return self.batches[-1]

    async def send_offsets_to_transaction(self, *arguments: object) -> None:
        self.done_before_positions += [batch.done() for batch in self.batches]
        await super().send_offsets_to_transaction(*arguments)


class BeatsUnderTest:
    """A sender's beats over one partition, and what it has to say."""

    def __init__(self, settings: Settings, producer: WatchedProducer) -> None:
        self.settings, self.producer = settings, producer
        self.names = Names(settings.topic_prefix)
        self.partition = TopicPartition(self.names.jobs(ROUTE.name, Lane.IMMEDIATE), 0)
        self.outbox = Outbox()
        self.progress: Progress[Token] = Progress(fresh_position(0), "owner")
        self.events = RecordedEvents()
        lease = Lease(60.0)
        lease.renew(monotonic())
        self.beats = Beats(
            settings,
            GROUP,
            producer,
            lease=lease,
            schedule=BeatSchedule(0.03, 1.0),
            sources={self.partition: Source(self.partition, Lane.IMMEDIATE, self.progress, 0)},
            outbox=self.outbox,
            settlement=Settlement(ROUTE, self.names, b"key", self.outbox, ControlView()),
            events=self.events,
        )

    def answer(self, *recipients: int) -> None:
        """Each recipient's job, whose offset is his number, has its outcome."""
        for recipient in recipients:
            self.progress.take([recipient], [None])  # type: ignore[list-item]
            self.progress.settle(recipient)
            self.outbox.add_status(Status("alert", recipient, 1, Outcome.ACCEPTED, 1), Lane.IMMEDIATE)

    async def statuses(self) -> list[tuple[int, int]]:
        """Recipient and partition of all that is committed."""
        return sorted((int(it.key), it.partition) for it in await read_topic(self.settings, self.names.statuses))

    async def position(self) -> int:
        return await find_position(self.settings, GROUP, self.partition)


@pytest.fixture
async def under_test(kafka_settings: Settings) -> AsyncIterator[BeatsUnderTest]:
    await create_topics(kafka_settings, [ROUTE])
    producer = WatchedProducer(kafka_settings, "owner")
    await producer.start()
    yield BeatsUnderTest(kafka_settings, producer)
    with suppress(ProducerFenced):
        await producer.stop()
    await producer.client.close()


async def test_what_is_answered_while_the_broker_is_asked_goes_with_the_same_beat(under_test: BeatsUnderTest) -> None:
    under_test.producer.on_enlisted = lambda: under_test.answer(2, 3)
    under_test.answer(0, 1)
    await under_test.beats.beat()
    assert await under_test.statuses() == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert await under_test.position() == 4
    assert not under_test.outbox.content


async def test_positions_are_sent_when_the_broker_has_the_records(under_test: BeatsUnderTest) -> None:
    under_test.answer(*range(BATCH + 1))
    await under_test.beats.beat()
    assert under_test.producer.done_before_positions == [True, True]
    assert [partition for _, partition in await under_test.statuses()] == [0] * BATCH + [1]


async def test_partitions_take_turns_and_an_empty_beat_takes_none(under_test: BeatsUnderTest) -> None:
    for recipient in range(3):
        await under_test.beats.beat(everything=True)
        under_test.answer(recipient)
        await under_test.beats.beat()
    assert await under_test.statuses() == [(0, 0), (1, 1), (2, 2)]


async def test_a_fenced_sender_ends_before_it_takes_what_is_to_be_said(under_test: BeatsUnderTest) -> None:
    under_test.answer(0)
    async with make_producer(under_test.settings, transactional_id="owner"):
        with pytest.raises(ProducerFenced):
            await under_test.beats.beat()
    assert [code for code, _ in under_test.events.process_ends] == [76]
    assert under_test.outbox.content
