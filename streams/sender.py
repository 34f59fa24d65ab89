"""The sender: jobs to SMPP in windows; every outcome and the position behind it in one beat (docs/sender.md)."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog
from aiokafka.structs import ConsumerRecord

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.duties import Duty, run_duties, unless_stopped
from broadcast.errors import LEASE_EXIT_CODE, SettingsError
from broadcast.health import Health
from broadcast.kafka.broker_clock import BrokerClock, keep_broker_clock
from broadcast.kafka.lease import EndProcess, Lease, Watchdog, end_process
from broadcast.routes_file import load_routes
from broadcast.routing import Account, Route
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.fallback_route import find_fallback
from broadcast.sending.accounts.reload import RoutesInForce
from broadcast.sending.accounts.route_accounts import RouteAccounts
from broadcast.sending.beat import Beats, BeatSchedule
from broadcast.sending.dispatching.assessing import JobAssessor
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.dispatching.dispatch import Dispatch
from broadcast.sending.job_reader import JobReader
from broadcast.sending.membership import Connections, Membership, connect
from broadcast.sending.messages import MessageCache
from broadcast.sending.metrics import RouteProgress
from broadcast.sending.outbox import Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.settlement import Settlement
from broadcast.sending.takeover import Takeover, drain
from broadcast.settings import Settings
from broadcast.smpp.rates.sliding_count import SlidingCount
from schemas.topics import Names

log = structlog.get_logger(__name__)


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Send the jobs of every route, or of `settings.sender_route` alone, until `stop`."""
    found = load_routes(settings, with_secrets=True)
    routes = [route for route in found if settings.sender_route in (None, route.name)]
    if not routes:
        raise SettingsError(f"BROADCAST_SENDER_ROUTE = {settings.sender_route!r}: no such route in the routes file")
    settings.require_number_key()
    in_force = RoutesInForce(settings, found, health)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, in_force.reload)
    limit = max(1, settings.in_doubt_limit // len(routes))
    async with keep_broker_clock(settings, health) as clock, asyncio.TaskGroup() as group:
        for route in routes:
            health.hold(route.name, "has not taken over its partitions")
            group.create_task(
                _send_route(settings, in_force, route, health, stop, clock=clock, limit=limit),
                name=f"sender {route.name}",
            )
        health.release("start")


async def _send_route(
    settings: Settings,
    in_force: RoutesInForce,
    route: Route,
    health: Health,
    stop: asyncio.Event,
    *,
    clock: BrokerClock,
    limit: int,
) -> None:
    async with AsyncExitStack() as stack:
        connections = await unless_stopped(stop, stack.enter_async_context(connect(settings, route, clock)))
        # Texts of what has expired are forgotten by the clock.
        if connections is not None and await unless_stopped(stop, clock.compared.wait()):
            await RouteSender(settings, route, health, connections, in_force, clock=clock, in_doubt_limit=limit).run(
                stop
            )


class RouteSender(SenderEvents):
    """The sender of one route, in one slot. After `end_process` nothing is written or committed any more."""

    def __init__(
        self,
        settings: Settings,
        route: Route,
        health: Health,
        connections: Connections,
        in_force: RoutesInForce,
        *,
        clock: BrokerClock,
        in_doubt_limit: int,
        end_process: EndProcess = end_process,
    ) -> None:
        identity, names = connections.identity, Names(settings.topic_prefix)
        self._route, self._health, self._clock = route, health, clock
        self._control, self._forwarder, self._alarms = connections.control, connections.forwarder, connections.alarms
        self._probe_segments = settings.highest_segments
        self._identity, self._consumer = identity, connections.clients.consumer
        self._end_process = end_process
        self._progress = RouteProgress(health, identity.group, identity.lanes)
        self._lease = Lease(settings.session_timeout_seconds / 2)
        self._schedule = BeatSchedule(settings.beat_seconds, settings.idle_beat_seconds)
        self._outbox = Outbox()
        self._settlement = Settlement(route, names, settings.require_number_key(), self._outbox, self._control.view)
        self._settlement.correct_by(clock.correction_ms)
        self._accounts = RouteAccounts(
            in_force.accounts_of(route.name),
            settings.slot,
            self._make_binds,
            health=health,
            alarms=self._alarms,
            events=self,
        )
        self._membership = Membership(self)
        self._takeover = Takeover(settings, connections, self._membership, self._lease, self)
        self._sources = self._takeover.sources
        self._reader = JobReader(self._consumer, self._sources, self)
        self._messages = MessageCache(settings.highest_segments)
        delayed = DelayedJobs(self._outbox, self._settlement.unanswered, self)
        assessor = JobAssessor(
            route=route,
            accounts=self._accounts,
            view=self._control.view,
            messages=self._messages,
            outbox=self._outbox,
            in_doubt_limit=in_doubt_limit,
            delayed=delayed,
            events=self,
        )
        self._dispatch = Dispatch(
            accounts=self._accounts,
            assessor=assessor,
            delayed=delayed,
            settlement=self._settlement,
            outbox=self._outbox,
            in_doubt_limit=in_doubt_limit,
            events=self,
            fallback=find_fallback(route, in_force.routes, names, self._outbox, self._settlement.unanswered),
        )
        self._beats = Beats(
            settings,
            identity.group,
            connections.clients.producer,
            lease=self._lease,
            schedule=self._schedule,
            sources=self._sources,
            outbox=self._outbox,
            settlement=self._settlement,
            events=self,
        )
        in_force.follow(route.name, self._change_accounts, self._alarms)

    def _change_accounts(self, accounts: Sequence[Account]) -> None:
        self._messages.clear()
        self._settlement.set_accounts(accounts)
        self._accounts.change(accounts)

    def _make_binds(self, account: Account, sent: SlidingCount) -> AccountBinds:
        return AccountBinds(
            account, self._settlement, self._forwarder, self, probe_segments=self._probe_segments, sent=sent
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Join the group, bind, send until `stop`, drain, unbind."""
        self._accounts.start()
        self._consumer.subscribe(list(self._identity.lanes), listener=self._membership)
        duties: dict[str, Duty] = {
            "control": partial(self._control.run, self),
            "forwarding": self._forwarder.run,
            "accounts": self._accounts.run,
            "takeover": self._take_over,
            "reading": self._reader.run,
            "beats": self._keep_beating,
        }
        try:
            with Watchdog(self._lease, self._end_process):
                await run_duties(stop, duties, on_stop=self._drain)
        finally:
            self._accounts.abort()

    async def _take_over(self) -> None:
        """At each assignment: fence who had the partitions, take their positions, one beat; then they are sent."""
        while True:
            generation = await self._membership.wait()
            share = len(self._membership.partitions) / (len(self._identity.lanes) * self._route.partitions)
            self._accounts.set_share(share)
            self._settlement.unanswered.alerts.note_alone(None)
            if await self._takeover.take_over(generation):
                await self._beats.beat(everything=True)
                if generation == self._membership.generation:
                    self._dispatch.sources = tuple(self._sources.values())
                    self.write_ready()
            self._health.release(self._route.name)
            await self._takeover.close_marks(generation)
            if share == 1 and generation == self._membership.generation:
                # Who had the partitions before has ended by now.
                self._settlement.unanswered.alerts.note_alone(epoch_milliseconds())

    def may_write(self) -> bool:
        ready = self._lease.held and not self._schedule.slow and not self._control.view.behind(monotonic())
        return ready and self._clock.agrees()

    def write_ready(self) -> None:
        if self._lease.expired:
            self.end_process(LEASE_EXIT_CODE, f"the last beat succeeded more than {self._lease.seconds} s ago")
        try:
            self._dispatch.write_ready()
        except Exception as error:
            # Jobs may have left memory without being written: only a restart knows where they are.
            log.exception("dispatch_failed")
            self.end_process(1, f"dispatch failed: {error!r}")
        if self._beats.wanted:
            self._schedule.want_beat()

    def beat_now(self) -> None:
        self._schedule.beat_now()

    async def _keep_beating(self) -> None:
        while True:
            # Jobs that wait for their time are looked at again without a beat.
            busy = self._settlement.in_doubt > 0 or any(not source.empty for source in self._dispatch.sources)
            something = await self._schedule.wait(watchful=busy) or self._beats.wanted
            await self._reader.skip_gaps()
            if something or self._schedule.idle:
                await self._beats.beat(everything=not something)
            else:
                self._dispatch.settle_unsent()
                self.write_ready()

    def beat_committed(self) -> None:
        self._accounts.report()
        self._progress.report(self._sources, self._consumer.highwater)
        self._dispatch.settle_unsent()
        self.write_ready()

    def raise_alarm(self, kind: str, subject: str, detail: str) -> None:
        self._alarms.raise_soon(kind, subject, detail)

    def put_aside(self, record: "ConsumerRecord[bytes, bytes]", error: str) -> None:
        # Every sender reads the whole control topic: only one of the route writes the dead letter.
        if self._identity.first in self._sources:
            self._outbox.add_dead_letter(record, error)

    async def _drain(self) -> None:
        """What was answered is committed before an SMSC that hangs can hold the stop up; then unbind."""
        self._membership.leave()
        await self.release_partitions()
        await self._accounts.unbind()
        await self._forwarder.stop()

    async def release_partitions(self) -> None:
        """No new submit, wait a little for answers, then a beat that leaves nothing in doubt."""
        self._dispatch.sources = ()
        await drain(self._sources, self._settlement)
        await self._reader.skip_gaps()
        await self._beats.beat(release=True)
        self._takeover.give_back()

    def end_process(self, code: int, reason: str) -> None:
        self._end_process(code, reason)
