"""A Faust stage that handles one event at a time, exactly once, and waits for servers that are away."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from broadcast.alarms import LOST_TAIL, raise_alarm
from broadcast.database.pool import AWAY
from broadcast.deadletters.writing import encode_letter, report_letter
from broadcast.duties import run_duties, unless_stopped
from broadcast.errors import LostTailError, PoisonError, UnavailableError
from broadcast.health import Health, WatchedLog
from broadcast.kafka import clients
from broadcast.kafka.batches import Record
from broadcast.kafka.events import Event, Source
from broadcast.kafka.sources import Sources, read_ends
from broadcast.kafka.topics import wait_for_broker
from broadcast.retry import Backoff
from broadcast.settings import Settings
from schemas.topics import Names
from streams.transport import STOP_BUDGET_SECONDS, App

log = structlog.get_logger(__name__)

ALARM_SECONDS = 2.0
"""For an alarm before the process ends; the log has it too."""

WATCH_SECONDS = 1.0
"""How often lag is looked at: a stall counts from 15 s on."""

ENDS_SECONDS = 4.0
"""For the broker to tell the ends of logs; a broker that takes longer is as good as away."""

Handle = Callable[[Event, Source], Awaitable[None]]
"""Does what an event asks and commits it with what it produced: `source.commit` or `source.transaction`, once.

PoisonError makes the event a dead letter. It may be called again for the same event, after an error of the broker.
"""


async def run_stage(stage: "Stage", pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Run a stage until `stop`; a loss of records in Kafka is first written as an alarm, then raised."""
    try:
        await stage.run(stop)
    except LostTailError as error:
        with suppress(*AWAY):
            async with asyncio.timeout(ALARM_SECONDS), pool.acquire() as connection:
                await raise_alarm(connection, LOST_TAIL, f"{stage.name} {error.subject}", str(error))
        raise


class Stage:
    """The Faust app of one stage with its input partitions; `rereads` as `Sources` has it."""

    def __init__(self, settings: Settings, name: str, health: Health, *, rereads: bool = False) -> None:
        self.settings = settings
        self.name = name
        self.health = health
        self.app = App(settings, name)
        self.sources = Sources(settings, name, rereads=rereads)
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._topics: set[str] = set()
        self._ends: dict[TopicPartition, int] = {}
        health.logs.append(WatchedLog(self.sources.positions, self._ends.update))
        self._deadletters = Names(settings.topic_prefix).deadletters
        self._settling: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        self.app.on_partitions_revoked.connect(self._on_revoked, weak=False)

    def add_agent(self, topic: str, handle: Handle) -> None:
        """Have `handle` called with the events of a topic, one at a time."""
        self._topics.add(topic)
        channel = self.app.topic(topic, key_type=bytes, value_type=bytes)

        # Faust acknowledges an event when the body goes on to the next, raises or is cancelled; with `noack` nothing
        # is acknowledged but what was done.
        async def work(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._work(_event_of(event.message), handle)
                await stream.ack(event)

        self.app.agent(channel, name=f"{self.name}.{topic}", concurrency=1)(work)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; raises the error that ended the stage, for instance FencedError.

        Then nothing is stopped, and an event may wait for ever: the process must end.
        """
        if not await unless_stopped(stop, self._await_topics()):
            return
        try:
            await self.app.start()
            await run_duties(stop, {"watch": self._watch, "break": self._await_break})
        finally:
            self._settling.cancel()
        # Not wait_for: Faust swallows the cancellation while it waits for the event in hand.
        await asyncio.wait((asyncio.create_task(self.app.stop()),), timeout=STOP_BUDGET_SECONDS)
        await self.sources.drop(tuple(self.sources.positions()))

    async def _await_topics(self) -> bool:
        # Faust ends when it starts without a broker, and ignores for good a topic that is not there yet.
        away, absent = Backoff(), Backoff()
        while True:
            admin = await wait_for_broker(self.settings, timeout_seconds=math.inf)
            try:
                missing = self._topics.difference(await admin.list_topics())
            except clients.AWAY as error:
                await away.wait("kafka", self.name, error)
                continue
            finally:
                await admin.close()
            if not missing:
                self.health.release("topics")
                return True
            self.health.hold("topics", f"no topic {', '.join(sorted(missing))}; run `broadcast topics create`")
            log.warning("topics_awaited", topics=sorted(missing), remedy="broadcast topics create")
            await absent.sleep()

    async def _work(self, event: Event, handle: Handle) -> None:
        partition = TopicPartition(event.topic, event.partition)
        pause = Backoff()
        while True:
            try:
                source = await self.sources.get(partition)
                if event.offset >= source.position:
                    await self._handle(event, source, handle)
                self.health.progress(self.app.conf.id, self._lags())
                return
            except KafkaError as error:
                # The producer may be of no use any more, and its commit may or may not have happened: the next one
                # ends what is open, and its position says which.
                await self.sources.drop([partition])
                await pause.wait("kafka", self.name, error, topic=event.topic, offset=event.offset)
            except Exception as error:  # an agent that raises is restarted by Faust and goes on to the next event
                await self._break(error)

    async def _handle(self, event: Event, source: Source, handle: Handle) -> None:
        try:
            await handle(event, source)
        except PoisonError as error:
            topic, partition = event.topic, event.partition
            key, value = encode_letter(event, topic=topic, partition=partition, stage=self.name, error=str(error))
            await source.commit(event.offset, [Record(self._deadletters, key, value)])
            report_letter(topic=topic, partition=partition, offset=event.offset, error=str(error))

    async def _await_break(self) -> None:
        await self._broken

    async def _break(self, error: Exception) -> None:
        # Holds the event, unacknowledged, until the stage is down.
        if not self._broken.done():
            self._broken.set_exception(error)
        await asyncio.Event().wait()

    async def _on_assigned(self, _app: Any, assigned: Any, **_: Any) -> None:
        partitions = [TopicPartition(topic, partition) for topic, partition in assigned]
        self.sources.prepare(partitions)
        self._settling = asyncio.create_task(self._settle(partitions))

    async def _settle(self, partitions: list[TopicPartition]) -> None:
        try:
            for partition in partitions:
                await self.sources.get(partition)
        except Exception as error:  # no event may ever come that would meet it
            await self._break(error)
        self.health.release("start")

    async def _on_revoked(self, _app: Any, revoked: Any, **_: Any) -> None:
        await self.sources.drop([TopicPartition(topic, partition) for topic, partition in revoked])

    async def _watch(self) -> None:
        suspected: frozenset[TopicPartition] = frozenset()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.app.crashed and not self._broken.done():
                self._broken.set_exception(
                    UnavailableError(f"Faust gave up: {self.app.crash_reason!r}; start it again")
                )
            suspected = await self._look_for_loss(suspected)
            self.health.behind(self.app.conf.id, self._lags())

    async def _look_for_loss(self, suspected: frozenset[TopicPartition]) -> frozenset[TopicPartition]:
        """End the stage if Kafka has lost events; the partitions that are to be looked at again.

        `suspected` are those of the look before. A partition that stays behind may have been filled again meanwhile.
        """
        reread = self.app.went_back()
        if not reread or self._broken.done():
            return frozenset()
        try:
            async with asyncio.timeout(ENDS_SECONDS):
                ends = await read_ends(self.settings, tuple(reread))
        except clients.AWAY as error:
            log.warning("ends_not_read", error=repr(error))
            return suspected
        reread = self.app.went_back()
        for partition, offset in reread.items():
            if ends.get(partition, offset + 1) <= offset or partition in suspected:
                # It would read all of it again, and Faust would pass over it.
                subject = f"{partition.topic}/{partition.partition}"
                self._broken.set_exception(LostTailError(f"{subject} ends before what was read; starts anew", subject))
                break
        return frozenset(reread)

    def _lags(self) -> dict[str, int]:
        backlog = self.app.backlog(self._ends)
        return {topic: backlog[topic] for topic in self._topics}


def _event_of(message: Any) -> Event:
    return Event(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        timestamp=int((message.timestamp or 0) * 1000),
    )
