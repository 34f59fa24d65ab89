"""The sender: jobs to SMPP in windows, every outcome and the position behind it in one beat (design, section 5)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, ProducerFenced

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.errors import FENCED_EXIT_CODE, LEASE_EXIT_CODE, SettingsError
from broadcast.health import Health
from broadcast.kafka.lease import End, Lease, Watchdog, end_process
from broadcast.kafka.position import fresh_position
from broadcast.kafka.takeover import take_over
from broadcast.routes_file import load_routes
from broadcast.routing import Route
from broadcast.sending.beat import BeatWriter, LeaseExpiredError
from broadcast.sending.binds import AccountBinds
from broadcast.sending.clients import Clients, open_clients
from broadcast.sending.control import ControlReader, ControlView
from broadcast.sending.dispatch import Dispatch
from broadcast.sending.figures import report_beat
from broadcast.sending.membership import Membership
from broadcast.sending.messages import MessageBook
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.receipts import Receipts
from broadcast.sending.rhythm import SLOW_SECONDS, Rhythm
from broadcast.sending.settlement import Settlement, Token
from broadcast.sending.sources import READ_AHEAD, Source
from broadcast.settings import Settings
from schemas.lane import LANES, Lane
from schemas.topics import Names

_LOG = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 2.0
"""What an SMSC has not answered by then is unknown: a stop must not hang on it."""

BUSY_POLL_MS: Final = 10
IDLE_POLL_MS: Final = 200
"""With jobs at hand a full partition may want more soon; without, a fetch wakes the reader."""

RETRY_SECONDS: Final = 0.5
DRAIN_STEP_SECONDS: Final = 0.02

_NOWHERE: Final = TopicPartition("", -1)


async def run(settings: Settings, health: Health, stop: asyncio.Event, *, end: End = end_process) -> None:
    """Send the jobs of every route, or of `settings.sender_route` alone, until `stop`."""
    routes = [route for route in load_routes(settings) if settings.sender_route in (None, route.name)]
    if not routes:
        raise SettingsError(f"BROADCAST_SENDER_ROUTE = {settings.sender_route!r}: no such route in the routes file")
    lags: dict[str, int] = {}

    def report(route: str, lag: int) -> None:
        lags[route] = lag
        health.progress(sum(lags.values()))

    limit = max(1, settings.in_doubt_limit // len(routes))
    async with asyncio.TaskGroup() as group:
        for route in routes:
            health.hold(route.name, "has not taken over its partitions")
            sender = RouteSender(settings, route, health, report, in_doubt_limit=limit, end=end)
            group.create_task(sender.run(stop), name=f"sender {route.name}")
        health.release("start")


class RouteSender:
    """The sender of one route, in one slot. `end` must not return in earnest: what follows it may not happen."""

    def __init__(
        self,
        settings: Settings,
        route: Route,
        health: Health,
        report: Callable[[str, int], None],
        *,
        in_doubt_limit: int,
        end: End,
    ) -> None:
        names = Names(settings.topic_prefix)
        self._settings, self._route, self._names, self._health, self._report = settings, route, names, health, report
        self._end = end
        self._group = f"{settings.topic_prefix}sender.{route.name}"
        self._owner = f"{self._group}.{settings.slot}"
        self._lanes: dict[str, Lane | None] = {names.jobs(route.name, lane): lane for lane in LANES}
        self._lanes |= {names.delay(route.name, seconds): None for seconds in route.delays_seconds}
        self._lease = Lease(settings.session_timeout_seconds / 2)
        self._rhythm = Rhythm(settings.beat_seconds, settings.idle_beat_seconds)
        self._view = ControlView()
        self._outbox = Outbox()
        self._settlement = Settlement(route, names, settings.number_hash_key.get_secret_value().encode(), self._outbox)
        self._receipts = Receipts(settings, route.name)
        self._accounts = [
            AccountBinds(account, self._settlement, self._receipts, self._pump) for account in route.accounts
        ]
        self._dispatch = Dispatch(
            route,
            self._accounts,
            self._view,
            MessageBook(settings.highest_segments),
            self._settlement,
            self._outbox,
            in_doubt_limit=in_doubt_limit,
            may_write=self._may_write,
            want_beat=self._rhythm.hurry,
        )
        self._control = ControlReader(settings, self._view, self._pump)
        self._membership = Membership(self._release, lambda reason: end(LEASE_EXIT_CODE, reason))
        self._sources: dict[TopicPartition, Source[Token]] = {}
        self._beat_lock = asyncio.Lock()
        self._opened: Clients | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Take over, send until `stop`, drain, release."""
        watchdog = Watchdog(self._lease, self._end)
        watchdog.start()
        stopped = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            await self._drain()
        finally:
            watchdog.stop()
            stopped.cancel()
            work.cancel()
            await asyncio.gather(stopped, work, return_exceptions=True)
            await self._close()

    @property
    def _clients(self) -> Clients:
        assert self._opened is not None
        return self._opened

    async def _work(self) -> None:
        self._opened = await open_clients(
            self._settings,
            owner=self._owner,
            group=self._group,
            member=f"sender-{self._route.name}-{self._settings.slot}",
            topics=self._lanes,
        )
        self._writer = BeatWriter(
            self._opened.producer, self._group, self._names, self._settings.status_partitions, self._lease
        )
        await self._control.start()
        await self._receipts.start()
        for binds in self._accounts:
            binds.pool.start()
        self._clients.consumer.subscribe(list(self._lanes), listener=self._membership)
        duties = (self._control.run(), self._receipts.run(), self._take_over(), self._read(), self._keep_beating())
        async with asyncio.TaskGroup() as group:
            for duty in duties:
                group.create_task(duty)

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
        fresh = [partition for partition, position in positions.items() if position is None]
        beginnings = await find_offsets(consumer.beginning_offsets, fresh)
        if generation != self._membership.generation:
            return
        sources: dict[TopicPartition, Source[Token]] = {}
        for partition, position in positions.items():
            found = position or fresh_position(beginnings[partition])
            consumer.seek(partition, found.offset)
            sources[partition] = Source(partition, self._lanes[partition.topic], Progress(found, self._owner))
        self._sources = sources
        self._lease.renew(asked_at)
        await self._beat(everything=True)
        if generation == self._membership.generation:
            self._dispatch.sources = tuple(sources.values())
            self._pump()

    async def _close_marks(self, generation: int) -> None:
        """Whoever was here before, if it lives, learns of the fence at its next beat: until then it may still write."""
        marked = [source for source in self._sources.values() if source.progress.marks_open]
        if not marked:
            return
        await self._membership.sleep(self._settings.idle_beat_seconds + SLOW_SECONDS)
        ends = await find_offsets(self._clients.consumer.end_offsets, [source.partition for source in marked])
        if generation == self._membership.generation:
            for source in marked:
                source.progress.close_marks(ends[source.partition])

    async def _read(self) -> None:
        """Jobs into memory, a little ahead of what can be written, the urgent lanes first."""
        while True:
            found = False
            for lane in (*LANES, None):
                found = await self._fetch([source for source in self._sources.values() if source.lane is lane]) or found
            if found:
                await asyncio.sleep(0)
            else:
                busy = any(source.runs for source in self._sources.values())
                await self._fetch(self._sources.values(), BUSY_POLL_MS if busy else IDLE_POLL_MS)

    async def _fetch(self, sources: Iterable[Source[Token]], timeout_ms: int = 0) -> bool:
        wanted = [source.partition for source in sources if source.wants_more]
        if not wanted and not timeout_ms:
            return False
        generation = self._membership.generation
        # Asking for a partition that does not exist only waits, and keeps up the membership.
        records = await self._clients.consumer.getmany(
            *(wanted or [_NOWHERE]), timeout_ms=timeout_ms, max_records=READ_AHEAD
        )
        if not records or generation != self._membership.generation:
            return False
        for partition, batch in records.items():
            self._sources[partition].feed(batch)
        self._pump()
        return True

    def _pump(self) -> None:
        """Something has changed (jobs, answers, control, a beat): write what may be written."""
        try:
            self._dispatch.pump()
        except Exception as error:
            # Jobs may have left memory without being written: only a restart knows where they are.
            _LOG.exception("dispatch failed")
            self._end(1, f"dispatch failed: {error!r}")
        self._rhythm.note()

    def _may_write(self) -> bool:
        if self._lease.expired:
            self._end(LEASE_EXIT_CODE, f"the last beat succeeded more than {self._lease.seconds} s ago")
        return self._lease.held and not self._rhythm.slow and not self._view.behind(epoch_milliseconds())

    async def _keep_beating(self) -> None:
        while True:
            something = await self._rhythm.wait()
            await self._beat(everything=not something)
            self._dispatch.settle_locally()
            self._pump()

    async def _beat(self, *, everything: bool = False, release: bool = False) -> None:
        """One transaction: statuses, retries, dead letters, and the position of each partition that has changed."""
        async with self._beat_lock:
            await self._skip_gaps()
            changed = [source for source in self._sources.values() if everything or source.progress.changed]
            # A commit needs a position, if only to say that this sender still owns it.
            changed = changed or list(self._sources.values())[:1]
            self._rhythm.begin()
            if not changed:
                self._rhythm.end()
                return
            parcel = self._outbox.take()
            positions = {
                source.partition: source.progress.release() if release else source.progress.propose()
                for source in changed
            }
            began_at = monotonic()
            try:
                await self._writer.commit(parcel, positions)
            except ProducerFenced:
                self._end(FENCED_EXIT_CODE, f"another sender has taken over from {self._owner}")
                raise
            except (KafkaError, LeaseExpiredError) as error:
                self._end(LEASE_EXIT_CODE, f"a beat failed: {error!r}")
                raise
            finally:
                self._rhythm.end()
            for source in changed:
                source.progress.confirm()
            self._settlement.in_doubt -= parcel.submits
            report_beat(parcel, in_doubt=self._settlement.in_doubt, seconds=monotonic() - began_at)
            self._report(self._route.name, self._lag())

    async def _skip_gaps(self) -> None:
        """Where all that was read is taken, the consumer knows where the next record can be; the rest is done."""
        for partition, source in self._sources.items():
            if source.empty:
                try:
                    position = await self._clients.consumer.position(partition)
                except IllegalStateError:
                    return
                if source.empty:
                    source.progress.skip_to(position)

    async def _release(self) -> None:
        """Before partitions go: no new submit, wait a little for answers, then a beat that leaves nothing in doubt."""
        self._dispatch.sources = ()
        progresses = [source.progress for source in self._sources.values()]
        deadline = monotonic() + DRAIN_SECONDS
        while monotonic() < deadline and any(progress.unanswered() for progress in progresses):  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        for progress in progresses:
            self._settlement.give_up(progress.unanswered())
        await self._beat(everything=True, release=True)
        self._sources = {}
        self._lease.void()

    async def _drain(self) -> None:
        if self._opened is not None:
            self._dispatch.sources = ()
            await asyncio.gather(*(binds.pool.stop(DRAIN_SECONDS) for binds in self._accounts))
            await self._release()

    async def _close(self) -> None:
        await self._receipts.stop()
        await self._control.stop()
        if self._opened is not None:
            await self._opened.close()

    def _lag(self) -> int:
        highwater = self._clients.consumer.highwater
        return sum(
            max(0, (highwater(partition) or 0) - source.progress.committed.offset)
            for partition, source in self._sources.items()
        )


async def find_offsets(
    find: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]], partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """What `find` says of the partitions, asked until the broker answers."""
    while partitions:
        try:
            return await find(partitions)
        except KafkaError as error:
            _LOG.warning("offsets cannot be read (%s); asking again", error)
            await asyncio.sleep(RETRY_SECONDS)
    return {}
