"""The expander: target groups become one job per recipient, a chunk of an audience at a time.

An *audience* event resolves the whole audience at one instant and stores it as chunks, before anything is sent; a
*chunk* event becomes record batches of jobs. Stopped and expired alerts are expanded like all others: the sender gives
each of their recipients a final state, and so the audit's sum needs no second source.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import structlog

from broadcast import metrics
from broadcast.alerts.expanding import (
    ChunkEncoder,
    chunk_records,
    commit_audience,
    commit_expanded,
    read_expansion,
    read_people,
)
from broadcast.alerts.expansions import StoredExpansions
from broadcast.audience import ChunkRows
from broadcast.clock import epoch_milliseconds
from broadcast.database import create_pool, wait_for_database
from broadcast.database.pool import REFUSED
from broadcast.errors import PoisonError
from broadcast.health import Health
from broadcast.kafka.batches import fill_batches
from broadcast.kafka.events import Event, Source
from broadcast.logs import bound_alert
from broadcast.rerouting.new_copies import reroute_forever
from broadcast.routes_file import load_routes
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.expansion import Expansion
from schemas.lane import LANES, Lane
from schemas.topics import Names
from streams.app import Stage, run_stage

log = structlog.get_logger(__name__)

GRACE_SECONDS = 0.01
"""Between two chunks of an urgent alert its lane looks free for a moment; a lower lane waits that long to be sure."""

CLOSE_SECONDS = 2.0
"""For the rerouting beside it to close its producer: a broker that is away does not answer."""


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Expand audiences until `stop`; raises FencedError when another process has taken the place."""
    routes = load_routes(settings)
    pool = await create_pool(settings, "expander")
    try:
        stage = Stage(settings, "expander", health)
        expander = Expander(settings, pool, routes)
        for lane in LANES:
            stage.add_agent(Names(settings.topic_prefix).expansions(lane), expander.handle)
        rerouting = asyncio.create_task(reroute_forever(settings, routes), name="rerouting")
        try:
            await run_stage(stage, pool, stop)
        finally:
            rerouting.cancel()
            await asyncio.wait([rerouting], timeout=CLOSE_SECONDS)
    finally:
        pool.terminate()


class Expander:
    """What the expander does with one event: read it, take its lane's turn, resolve or expand, send and commit."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, routes: Sequence[Route]) -> None:
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.pool = pool
        self.routes = routes
        self.stored = StoredExpansions(pool, settings)
        self.encoder = ChunkEncoder(routes, settings.require_number_key())
        self.turns = Turns()

    async def handle(self, event: Event, source: Source) -> None:
        """Resolve an audience, or send the jobs of a chunk; commits the event's position with what follows."""
        expansion = read_expansion(event.value)
        try:
            with bound_alert(expansion.alert_id):
                async with self.turns.of(expansion.lane):
                    await self._handle(event, source, expansion)
        except REFUSED as error:
            raise PoisonError(f"the expansion holds a value that cannot be: {error}") from None

    async def _handle(self, event: Event, source: Source, asked: Expansion) -> None:
        if asked.kind == "audience":
            stored = await wait_for_database(
                "resolving", lambda: commit_audience(self.pool, asked, self.settings), pool=self.pool
            )
            if stored.chunks != 1:
                await source.commit(event.offset, chunk_records(self.names, stored))
                return
            # One chunk needs no event of its own.
            stored = stored.model_copy(update={"kind": "chunk"})
        else:
            stored = await wait_for_database("reading an alert", lambda: self.stored.require(asked), pool=self.pool)
        rows = await wait_for_database("reading a chunk", lambda: self._read(stored), pool=self.pool)
        await self._send(event, source, stored, rows)

    async def _read(self, expansion: Expansion) -> ChunkRows:
        rows = await read_people(self.pool, expansion)
        if expansion.chunk + 1 == expansion.chunks:
            await commit_expanded(self.pool, expansion, self.settings)
        return rows

    async def _send(self, event: Event, source: Source, expansion: Expansion, rows: ChunkRows) -> None:
        now = epoch_milliseconds()
        producer = source.producer
        jobs, statuses = self.encoder.encode(expansion, rows, producer.create_batch, now=now)
        async with source.transaction(event.offset) as sending:
            for route, partition, batch in jobs:
                topic = self.names.jobs(self.routes[route].name, expansion.lane)
                sending.add(await producer.send_batch(batch, topic, partition=partition))
            records = [(b"%d" % status.recipient_id, msgspec.json.encode(status)) for status in statuses]
            for batch in fill_batches(producer.create_batch, records, now):
                partition = event.offset % self.settings.status_partitions
                sending.add(await producer.send_batch(batch, self.names.statuses, partition=partition))
        metrics.recipients_expanded.labels(expansion.lane).inc(len(rows.recipient_ids))
        if statuses:
            log.warning("recipients_failed", chunk=expansion.chunk, count=len(statuses), reason=statuses[0].reason)


class Turns:
    """Lets an urgent lane go first: a lower lane waits, before each event, while a more urgent one has work."""

    def __init__(self) -> None:
        self._busy: Counter[Lane] = Counter()
        self._freed = asyncio.Event()
        self._ended = 0

    @asynccontextmanager
    async def of(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for the turn of a lane; it lasts as long as the context."""
        self._busy[lane] += 1
        try:
            while any(self._busy[other] for other in LANES[: LANES.index(lane)]):
                self._freed.clear()
                await self._freed.wait()
                ended = 0
                while ended != self._ended:  # again where a turn ended meanwhile
                    ended = self._ended
                    await asyncio.sleep(GRACE_SECONDS)
            yield
        finally:
            self._busy[lane] -= 1
            self._ended += 1
            self._freed.set()
