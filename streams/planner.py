"""The planner: what each alert event does to alerts, and what senders and expander are told of it.

Read the event, and store what it does in one PostgreSQL transaction. Then send what follows from what is stored: first
control records and stops, in no transaction, then the expansion together with the position. It never waits for an
audience.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import asyncpg

from broadcast import metrics
from broadcast.alerts.control_writer import ControlWriter
from broadcast.alerts.planning import Planned, Planning
from broadcast.alerts.store import durable_transaction
from broadcast.clock import utc_now
from broadcast.database import create_pool, wait_for_database
from broadcast.database.pool import REFUSED
from broadcast.duties import unless_stopped
from broadcast.errors import PoisonError
from broadcast.health import Health
from broadcast.kafka.broker_clock import BrokerClock, keep_broker_clock
from broadcast.kafka.clients import AWAY
from broadcast.kafka.events import Event, Source
from broadcast.lifecycle import Transition
from broadcast.logs import bound_alert
from broadcast.retry import retry
from broadcast.routes_file import load_routes
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.alert import AlertAction, AlertEvent, AlertInvalidError, read_event
from schemas.enumeration import MsgType, Status
from schemas.topics import Names
from streams.app import Stage, run_stage

INLINE_BYTES_MAX = 4_096
"""Longer events are read in a thread: so nothing else of the planner waits for what others wrote."""


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Plan alerts until `stop`; raises FencedError when another process has taken the place."""
    routes = load_routes(settings)
    metrics.begin(metrics.alerts, Status, MsgType, (Transition.PLANNED, Transition.REFUSED))
    if settings.rehearsal:
        health.facts["rehearsal"] = (
            "BROADCAST_REHEARSAL is set: Actual alerts go by simulated routes, and reach no phone"
        )
    pool = await create_pool(settings, "planner")
    control = ControlWriter(settings)
    async with AsyncExitStack() as stack:
        stack.callback(pool.terminate)
        stack.push_async_callback(control.stop)
        clock = await stack.enter_async_context(keep_broker_clock(settings, health))
        # Before an event may come: to connect takes longer than to plan.
        await unless_stopped(stop, retry("control", control.connect, service="kafka", away=AWAY))
        stage = Stage(settings, "planner", health, rereads=True)
        stage.add_agent(Names(settings.topic_prefix).alerts, Planner(settings, pool, routes, control, clock).handle)
        await run_stage(stage, pool, stop)


class Planner:
    """What the planner does with one event."""

    def __init__(
        self,
        settings: Settings,
        pool: asyncpg.Pool,
        routes: Sequence[Route],
        control: ControlWriter,
        clock: BrokerClock,
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.routes = routes
        self.control = control
        self.clock = clock

    async def handle(self, event: Event, source: Source) -> None:
        """Read, store, send."""
        # Aside: a large alert takes longer to read than the group's coordinator may wait for the loop.
        asked = await asyncio.to_thread(read, event) if len(event.value or b"") > INLINE_BYTES_MAX else read(event)
        with bound_alert(asked.alert_id):
            planned = await wait_for_database("planning", lambda: self._plan(asked, event.offset), pool=self.pool)
            if planned.control:
                # Senders read control without waiting for a transaction, and must have it before the first job.
                await self.control.write(planned.control)
            await source.commit(event.offset, planned.expansions)

    async def _plan(self, asked: AlertEvent, offset: int) -> Planned:
        if asked.event is not AlertAction.CANCELLED:
            # What has expired is refused for good; a stop is right at any time.
            await self.clock.wait_until_right()
        try:
            async with durable_transaction(self.pool) as connection:
                return await Planning(connection, asked, offset, self.settings, self.routes, utc_now()).plan()
        except REFUSED as error:
            raise PoisonError(f"the alert holds a value that cannot be stored: {error}") from None


def read(event: Event) -> AlertEvent:
    """The alert event of a record; PoisonError names the field and the rule that it breaks."""
    try:
        received_at = datetime.fromtimestamp(event.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        received_at = None  # whoever wrote it set a timestamp that is no instant
    try:
        return read_event(event.value, event.key, event.headers, received_at=received_at)
    except AlertInvalidError as error:
        raise PoisonError(str(error)) from None
