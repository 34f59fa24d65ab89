"""One beat against a real broker: what it carries, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from broadcast.clock import monotonic
from broadcast.kafka.clients import make_producer
from broadcast.kafka.events import find_position
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import fresh_position
from broadcast.kafka.topics import create_topics
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.routing import Account, Route
from broadcast.sending.beat import BATCH, Beats, Rhythm
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement, Token
from broadcast.sending.sources import Source
from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from tests.support.topics import read_topic

ROUTE = Route(name="north", prefixes=("+",), accounts=(Account(name="acc", host="127.0.0.1", port=1, system_id="x"),))
GROUP = "sender.north"


class Desk:
    """A sender's beats over one partition, and what it has to say."""

    def __init__(self, settings: Settings, producer: TransactionalProducer) -> None:
        self.settings, self.producer = settings, producer
        self.names = Names(settings.topic_prefix)
        self.partition = TopicPartition(self.names.jobs(ROUTE.name, Lane.IMMEDIATE), 0)
        self.outbox = Outbox()
        self.progress: Progress[Token] = Progress(fresh_position(0), "owner")
        self.ends: list[str] = []
        lease = Lease(60.0)
        lease.renew(monotonic())
        self.beats = Beats(
            producer=producer,
            group=GROUP,
            names=self.names,
            status_partitions=settings.status_partitions,
            lease=lease,
            rhythm=Rhythm(0.03, 1.0),
            outbox=self.outbox,
            settlement=Settlement(ROUTE, self.names, b"key", self.outbox),
            end=lambda code, reason: self.ends.append(f"{code} {reason}"),
            on_done=lambda: None,
        )
        self.beats.sources[self.partition] = Source(self.partition, Lane.IMMEDIATE, self.progress, 0)

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
async def desk(kafka_settings: Settings) -> AsyncIterator[Desk]:
    await create_topics(kafka_settings, [ROUTE])
    producer = make_producer(kafka_settings, transactional_id="owner")
    await producer.start()
    yield Desk(kafka_settings, producer)
    with suppress(ProducerFenced):
        await producer.stop()
    await producer.client.close()


async def test_what_is_answered_while_the_broker_is_asked_goes_with_the_same_beat(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist = desk.producer.enlist

    async def enlist_slowly(group: str, partitions: list[TopicPartition]) -> None:
        await enlist(group, partitions)
        desk.answer(2, 3)

    monkeypatch.setattr(desk.producer, "enlist", enlist_slowly)
    desk.answer(0, 1)
    await desk.beats.beat()
    assert await desk.statuses() == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert await desk.position() == 4
    assert not desk.outbox.parcel


async def test_positions_are_sent_when_the_broker_has_the_records(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[asyncio.Future[object]] = []
    done: list[bool] = []
    send_batch, send_offsets = desk.producer.send_batch, desk.producer.send_offsets_to_transaction

    async def send_and_note(*arguments: object, **options: object) -> asyncio.Future[object]:
        sent.append(await send_batch(*arguments, **options))
        return sent[-1]

    async def send_and_look(*arguments: object) -> None:
        done.extend(future.done() for future in sent)
        await send_offsets(*arguments)

    monkeypatch.setattr(desk.producer, "send_batch", send_and_note)
    monkeypatch.setattr(desk.producer, "send_offsets_to_transaction", send_and_look)
    desk.answer(*range(BATCH + 1))
    await desk.beats.beat()
    assert done == [True, True]
    assert [partition for _, partition in await desk.statuses()] == [0] * BATCH + [1]


async def test_partitions_take_turns_and_an_empty_beat_takes_none(desk: Desk) -> None:
    for recipient in range(3):
        await desk.beats.beat(everything=True)
        desk.answer(recipient)
        await desk.beats.beat()
    assert await desk.statuses() == [(0, 0), (1, 1), (2, 2)]


async def test_a_fenced_sender_ends_before_it_takes_what_is_to_be_said(desk: Desk) -> None:
    desk.answer(0)
    async with make_producer(desk.settings, transactional_id="owner"):
        with pytest.raises(ProducerFenced):
            await desk.beats.beat()
    assert [reason.split()[0] for reason in desk.ends] == ["76"]
    assert desk.outbox.parcel
