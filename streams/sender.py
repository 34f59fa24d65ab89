"""The sender: jobs to SMPP in windows, every outcome and the position behind it in one beat (`docs/sender.md`)."""

import asyncio
from itertools import product
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from broadcast.alarms import JOBS_DELETED_UNSENT, JOBS_LOST_THEIR_TAIL, Alarms, keep_alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.errors import LEASE_EXIT_CODE, SettingsError
from broadcast.health import Health
from broadcast.kafka.fencing import find_offsets, take_over
from broadcast.kafka.lease import End, Lease, Watchdog, end_process
from broadcast.kafka.position import Position, fresh_position, since, until
from broadcast.routes_file import load_routes
from broadcast.routing import Route
from broadcast.sending.beat import SLOW_SECONDS, Beats, Rhythm
from broadcast.sending.binds import AccountBinds
from broadcast.sending.control import ControlReader, ControlView
from broadcast.sending.dispatch import Dispatch
from broadcast.sending.forwarding import Receipts
from broadcast.sending.messages import MessageBook
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.rules import longest_wait_ms
from broadcast.sending.settlement import Settlement, Token
from broadcast.sending.sources import Reader, Source
from broadcast.sending.takeover import Clients, Membership, open_clients
from broadcast.settings import Settings
from schemas.lane import LANES, Lane
from schemas.topics import Names

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 2.0
"""What an SMSC has not answered by then is unknown: a stop must not hang on it."""

DRAIN_STEP_SECONDS: Final = 0.02

UNBIND_SECONDS: Final = 0.5
"""For the answer to our unbind: nothing depends on it any more."""


async def run(settings: Settings, health: Health, stop: asyncio.Event, *, end: End = end_process) -> None:
    """Send the jobs of every route, or of `settings.sender_route` alone, until `stop`."""
    routes = [route for route in load_routes(settings) if settings.sender_route in (None, route.name)]
    if not routes:
        raise SettingsError(f"BROADCAST_SENDER_ROUTE = {settings.sender_route!r}: no such route in the routes file")
    limit = max(1, settings.in_doubt_limit // len(routes))
    async with keep_alarms(settings) as alarms, asyncio.TaskGroup() as group:
        for route in routes:
            health.hold(route.name, "has not taken over its partitions")
            sender = RouteSender(settings, route, health, in_doubt_limit=limit, end=end, alarms=alarms)
            group.create_task(sender.run(stop), name=f"sender {route.name}")
        health.release("start")


class RouteSender:
    """The sender of one route, in one slot. After `end` was called nothing is written or committed any more."""

    def __init__(
        self, settings: Settings, route: Route, health: Health, *, in_doubt_limit: int, end: End, alarms: Alarms
    ) -> None:
        names = Names(settings.topic_prefix)
        self._settings, self._route, self._names = settings, route, names
        self._health, self._end, self._alarms = health, end, alarms
        self._reached = -1
        self._group = f"{settings.topic_prefix}sender.{route.name}"
        self._owner = f"{self._group}.{settings.slot}"
        self._lanes = {names.jobs(route.name, lane): lane for lane in LANES}
        self._delays: dict[str, int] = {}
        for lane, seconds in product(LANES, route.delays_seconds):
            topic = names.delay(route.name, lane, seconds)
            self._lanes[topic], self._delays[topic] = lane, seconds
        self._lease = Lease(settings.session_timeout_seconds / 2)
        self._rhythm = Rhythm(settings.beat_seconds, settings.idle_beat_seconds)
        self._view = ControlView()
        self._control = ControlReader(settings, self._view, self._pump, self._bury, alarms=alarms)
        self._outbox = Outbox()
        self._settlement = Settlement(route, names, settings.require_number_key(), self._outbox)
        self._receipts = Receipts(settings, route.name)
        self._accounts = [
            AccountBinds(account, self._settlement, self._receipts, on_room=self._pump, fail=lambda why: end(1, why))
            for account in route.accounts
        ]
        self._dispatch = Dispatch(
            route=route,
            accounts=self._accounts,
            view=self._view,
            book=MessageBook(settings.highest_segments),
            settlement=self._settlement,
            outbox=self._outbox,
            in_doubt_limit=in_doubt_limit,
            may_write=self._may_write,
            want_beat=self._rhythm.hurry,
            alarms=alarms,
        )
        self._membership = Membership(self._release, lambda reason: end(LEASE_EXIT_CODE, reason))
        self._clients: Clients
        self._beats: Beats
        self._reader: Reader

    async def run(self, stop: asyncio.Event) -> None:
        """Take over, send until `stop`, drain, release."""
        watchdog = Watchdog(self._lease, self._end)
        watchdog.start()
        stopped = asyncio.create_task(stop.wait())
        opening = asyncio.create_task(self._open())
        duties: list[asyncio.Task[None]] = []
        try:
            await asyncio.wait((stopped, opening), return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                work = (self._control.run, self._receipts.run, self._take_over, self._reader.run, self._keep_beating)
                duties += [asyncio.create_task(duty()) for duty in work]
                await asyncio.wait((stopped, *duties), return_when=asyncio.FIRST_COMPLETED)
                for duty in duties:
                    if duty.done():
                        duty.result()
                await self._drain()
                await self._receipts.stop()
        finally:
            watchdog.stop()
            for task in (stopped, opening, *duties):
                task.cancel()
            await asyncio.gather(stopped, opening, *duties, return_exceptions=True)
            await self._close()

    async def _open(self) -> None:
        self._clients = await open_clients(
            self._settings,
            owner=self._owner,
            group=self._group,
            member=f"sender-{self._route.name}-{self._settings.slot}",
            topics=self._lanes,
        )
        self._beats = Beats(
            producer=self._clients.producer,
            group=self._group,
            names=self._names,
            status_partitions=self._settings.status_partitions,
            lease=self._lease,
            rhythm=self._rhythm,
            outbox=self._outbox,
            settlement=self._settlement,
            end=self._end,
            on_done=self._go_on,
        )
        self._reader = Reader(self._clients.consumer, self._beats.sources, self._pump)
        await self._control.start()
        await self._receipts.start()
        for binds in self._accounts:
            binds.pool.start()
        self._clients.consumer.subscribe(list(self._lanes), listener=self._membership)

    async def _take_over(self) -> None:
        """At each assignment: fence who had the partitions, install their positions, one beat; then they are sent."""
        while True:
            generation = await self._membership.wait()
            partitions = self._membership.partitions
            for binds in self._accounts:
                binds.set_share(len(partitions) / (len(self._lanes) * self._route.partitions))
            if partitions:
                await self._install(generation, partitions)
            self._health.release(self._route.name)
            await self._close_marks(generation)

    async def _install(self, generation: int, partitions: frozenset[TopicPartition]) -> None:
        consumer = self._clients.consumer
        positions, asked_at = await take_over(self._settings, self._clients.admin, self._group, partitions, self._owner)
        beginnings = await find_offsets(consumer.beginning_offsets, list(positions))
        ends = await find_offsets(consumer.end_offsets, list(positions))
        # No await from here to the installed sources: what is read meanwhile would belong to neither.
        if generation != self._membership.generation:
            return
        for partition, position in positions.items():
            found = self._within_log(partition, position, beginnings[partition], ends[partition])
            consumer.seek(partition, found.offset)
            progress: Progress[Token] = Progress(found, self._owner)
            self._beats.sources[partition] = Source(
                partition, self._lanes[partition.topic], progress, longest_wait_ms(self._delays.get(partition.topic, 0))
            )
        self._lease.renew(asked_at)
        await self._beats.beat(everything=True)
        if generation == self._membership.generation:
            self._dispatch.sources = tuple(self._beats.sources.values())
            self._pump()

    def _within_log(self, partition: TopicPartition, position: Position | None, beginning: int, end: int) -> Position:
        """The position, or what is left of it where Kafka has no longer what it speaks of: an alarm, and it goes on.

        Jobs that came after Kafka lost its tail and before we are here are taken for done: the sweep finds them queued.
        """
        if position is None:
            return fresh_position(beginning)
        if position.offset < beginning:
            kind = JOBS_DELETED_UNSENT
        elif position.end > end:
            kind = JOBS_LOST_THEIR_TAIL
        else:
            return position
        self._alarms.raise_soon(
            kind,
            f"{partition.topic}/{partition.partition}",
            f"the position is {position.offset} to {position.end}, and Kafka has {beginning} to {end}; look who is"
            " still queued, and alert them anew",
        )
        return until(since(position, beginning), end)

    async def _close_marks(self, generation: int) -> None:
        """Whoever was here before, if it lives, learns of the fence at its next beat: until then it may still write."""
        marked = [source for source in self._beats.sources.values() if source.progress.marks_open]
        if not marked:
            return
        await self._membership.sleep(self._settings.idle_beat_seconds + SLOW_SECONDS)
        ends = await find_offsets(self._clients.consumer.end_offsets, [source.partition for source in marked])
        if generation == self._membership.generation:
            for source in marked:
                source.progress.close_marks(ends[source.partition])

    def _pump(self) -> None:
        """Something has changed (jobs, answers, control, a beat): write what may be written."""
        try:
            self._dispatch.pump()
        except Exception as error:
            # Jobs may have left memory without being written: only a restart knows where they are.
            log.exception("dispatch_failed")
            self._end(1, f"dispatch failed: {error!r}")
        if self._beats.wanted:
            self._rhythm.note()

    def _bury(self, record: "ConsumerRecord[bytes, bytes]", error: str) -> None:
        """Every sender reads the whole control topic: one of the route makes a dead letter of poison there."""
        if TopicPartition(self._names.jobs(self._route.name, Lane.IMMEDIATE), 0) in self._beats.sources:
            self._outbox.add_dead_letter(record, error)

    def _may_write(self) -> bool:
        if self._lease.expired:
            self._end(LEASE_EXIT_CODE, f"the last beat succeeded more than {self._lease.seconds} s ago")
        return self._lease.held and not self._rhythm.slow and not self._view.behind(monotonic())

    async def _keep_beating(self) -> None:
        while True:
            # Jobs that wait for their time are looked at again without a beat.
            busy = self._settlement.in_doubt > 0 or any(not source.empty for source in self._dispatch.sources)
            something = await self._rhythm.wait(watchful=busy) or self._beats.wanted
            await self._reader.skip_gaps()
            if something or self._rhythm.idle:
                await self._beats.beat(everything=not something)
            else:
                self._dispatch.settle_locally()
                self._pump()

    async def _release(self) -> None:
        """Before partitions go: no new submit, wait a little for answers, then a beat that leaves nothing in doubt."""
        self._dispatch.sources = ()
        progresses = [source.progress for source in self._beats.sources.values()]
        deadline = monotonic() + DRAIN_SECONDS
        while monotonic() < deadline and any(progress.unanswered() for progress in progresses):  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        for progress in progresses:
            self._settlement.give_up(progress.unanswered(), epoch_milliseconds())
        await self._reader.skip_gaps()
        await self._beats.beat(release=True)
        self._beats.sources.clear()
        self._lease.void()

    async def _drain(self) -> None:
        """A stop, in reverse order of start: what was answered is committed before a hanging SMSC can hold it up."""
        await self._release()
        await asyncio.gather(*(binds.pool.stop(UNBIND_SECONDS) for binds in self._accounts))

    async def _close(self) -> None:
        for binds in self._accounts:
            binds.pool.abort()
        await self._receipts.stop()
        await self._control.stop()
        if hasattr(self, "_clients"):
            await self._clients.close()

    def _go_on(self) -> None:
        """A beat is committed: what was in doubt has made room."""
        self._report_lag()
        self._dispatch.settle_locally()
        self._pump()

    def _report_lag(self) -> None:
        for binds in self._accounts:
            binds.pool.report()
        highwater = self._clients.consumer.highwater
        lags = dict.fromkeys(self._lanes, 0)
        waiting = reached = 0
        for partition, source in self._beats.sources.items():
            position = source.progress.committed
            lag = max(0, (highwater(partition) or 0) - position.offset)
            lags[partition.topic] += lag
            # A job on a delay topic stands still on purpose.
            if not source.delayed:
                waiting += lag
                reached += position.offset + position.end
        self._health.progress(self._group, lags, moved=not waiting or reached != self._reached)
        self._reached = reached
