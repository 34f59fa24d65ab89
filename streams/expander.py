"""The expander: target groups become one job per recipient, a chunk of an audience at a time.

An *audience* event resolves the whole audience at one instant and stores it as chunks, before anything is sent; a
*chunk* event becomes record batches of jobs. Stopped and expired alerts are expanded like all others: the sender gives
each of their recipients a final state, and so the audit's sum needs no second source.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog
from pydantic import ValidationError

from broadcast import metrics
from broadcast.alerts.jobs import Batch, Columns, fill_batches, fill_status_batches, find_unreadable
from broadcast.alerts.store import StoredAlert, durable_transaction, is_stored, lock_alert, move_alert, set_audience
from broadcast.audience import ChunkError, ChunkRows, read_chunk, resolve
from broadcast.cap import choose_all
from broadcast.clock import epoch_milliseconds, utc_now
from broadcast.database import Connection, create_pool, wait_for_database
from broadcast.errors import PoisonError
from broadcast.health import Health
from broadcast.kafka.events import Event, Source
from broadcast.kafka.records import Record
from broadcast.lifecycle import Transition, may_happen
from broadcast.logs import bound_alert
from broadcast.pii import number_hash
from broadcast.routes_file import load_routes
from broadcast.routing import NO_ROUTE, Route, RouteTable
from broadcast.settings import Settings
from schemas import alert
from schemas.expansion import Expansion
from schemas.lane import LANES, Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from streams.app import Stage, run_stage

log = structlog.get_logger(__name__)

GRACE_SECONDS = 0.01
"""Between two chunks of an urgent alert its lane looks free for a moment; a lower lane waits that long to be sure."""

CAP_STATUSES = frozenset(alert.Status)

NO_NUMBER = "no number: the recipient has left the directory"
UNREADABLE_NUMBER = "no number: it is not E.164"
UNROUTED = "no route carries this number with this status"


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Expand audiences until `stop`; raises FencedError when another process has taken the place."""
    routes = load_routes(settings)
    pool = await create_pool(settings)
    try:
        stage = Stage(settings, "expander", health)
        expander = Expander(settings, pool, routes)
        for lane in LANES:
            stage.add_agent(Names(settings.topic_prefix).expansions(lane), expander.handle)
        await run_stage(stage, pool, stop)
    finally:
        pool.terminate()


class Turns:
    """Lets an urgent lane go first: a lower one waits, before each event, while a more urgent one has any in hand."""

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


class Expander:
    """What the expander does with one event."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, routes: Sequence[Route]) -> None:
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.pool = pool
        self.table = RouteTable(routes)
        self.partitions = [route.partitions for route in routes]
        self.number_key = settings.number_hash_key.get_secret_value().encode()
        self.turns = Turns()

    async def handle(self, event: Event, source: Source) -> None:
        """Resolve an audience, or send the jobs of a chunk."""
        expansion = read(event)
        try:
            await self._handle(event, source, expansion)
        except (asyncpg.DataError, OverflowError) as error:
            raise PoisonError(f"the expansion holds a value that cannot be: {error}") from None

    async def _handle(self, event: Event, source: Source, expansion: Expansion) -> None:
        with bound_alert(expansion.alert_id):
            async with self.turns.of(expansion.lane):
                if expansion.kind == "audience":
                    chunks = await wait_for_database("resolving", lambda: self._resolve(expansion))
                    if chunks != 1:
                        await source.commit(event.offset, self._chunk_events(expansion, chunks))
                        return
                    expansion = expansion.model_copy(update={"kind": "chunk", "chunk": 0, "chunks": 1})
                await self._expand(event, source, expansion)

    async def _resolve(self, expansion: Expansion) -> int:
        # The number of chunks; 0 when there is nobody to send to.
        async with durable_transaction(self.pool) as connection:
            if not await is_stored(connection, expansion.alert_id):
                raise self._not_stored(expansion)
            # Not locked before: a stop of this alert must not keep the planner waiting for its audience.
            audience = await resolve(
                connection,
                expansion.alert_id,
                expansion.groups,
                chunk_size=self.settings.chunk_size,
                participants_only=expansion.participants_only,
            )
            stored = await self._find(connection, expansion)
            await set_audience(
                connection,
                expansion.alert_id,
                audience=audience.count,
                suppressed=audience.suppressed,
                chunks=audience.chunks,
                chain=audience.chain,
            )
            if audience.count == 0 and may_happen(stored.state, Transition.REFUSED):
                reason = _emptiness(expansion, audience.missing)
                log.warning("alert_refused", reason=reason)
                await move_alert(
                    connection, stored.alert_id, stored.state, Transition.REFUSED, at=utc_now(), reason=reason
                )
        if stored.audience is None:
            log.info("audience_resolved", audience=audience.count, chunks=audience.chunks, lane=expansion.lane)
            metrics.jobs_suppressed.labels("suppressed").inc(audience.suppressed)
        return audience.chunks

    async def _expand(self, event: Event, source: Source, expansion: Expansion) -> None:
        rows = await wait_for_database("reading a chunk", lambda: self._read(expansion))
        now = epoch_milliseconds()
        producer = source.producer
        batches, statuses = self._encode(expansion, rows, producer.create_batch, now)
        async with source.transaction(event.offset) as sending:
            for route, partition, batch in batches:
                topic = self.names.jobs(self.table.routes[route].name, expansion.lane)
                sending.add(await producer.send_batch(batch, topic, partition=partition))
            for batch in fill_status_batches(producer.create_batch, statuses, now=now):
                partition = event.offset % self.settings.status_partitions
                sending.add(await producer.send_batch(batch, self.names.statuses, partition=partition))
        metrics.recipients_expanded.labels(expansion.lane).inc(len(rows.recipient_ids))
        if statuses:
            log.warning("recipients_failed", chunk=expansion.chunk, count=len(statuses), reason=statuses[0].reason)

    async def _read(self, expansion: Expansion) -> ChunkRows:
        async with self.pool.acquire() as connection:
            try:
                rows = await read_chunk(connection, expansion.alert_id, expansion.chunk)
            except ChunkError as error:
                raise PoisonError(str(error)) from None
        if expansion.chunk + 1 == expansion.chunks:
            async with durable_transaction(self.pool) as connection:
                stored = await self._find(connection, expansion)
                if may_happen(stored.state, Transition.EXPANDED):
                    # Also of an alert that was withdrawn meanwhile, whose recipients senders write off.
                    now = utc_now()
                    await move_alert(connection, stored.alert_id, stored.state, Transition.EXPANDED, at=now)
                    metrics.alert_expand_duration.observe((now - stored.accepted_at).total_seconds())
        return rows

    def _encode(
        self, expansion: Expansion, rows: ChunkRows, make_batch: Callable[[], Batch], now: int
    ) -> tuple[list[tuple[int, int, Batch]], list[Status]]:
        routes = self.table.routes_of(rows.msisdns, expansion.status)
        unreadable = find_unreadable(rows.msisdns)
        for place in unreadable:
            routes[place] = NO_ROUTE
        batches, left_out = fill_batches(
            make_batch,
            expansion.alert_id,
            Columns(
                rows.recipient_ids,
                rows.msisdns,
                choose_all(expansion.languages, rows.languages, expansion.default_variant),
                routes,
            ),
            self.partitions,
            now=now,
        )
        reasons = {place: UNREADABLE_NUMBER if place in unreadable else UNROUTED for place in left_out}
        statuses = [self._failed(expansion, recipient_id, "", NO_NUMBER, now) for recipient_id in rows.missing]
        statuses += [
            self._failed(expansion, rows.recipient_ids[place], rows.msisdns[place], reason, now)
            for place, reason in reasons.items()
        ]
        return batches, statuses

    def _failed(self, expansion: Expansion, recipient_id: int, msisdn: str, reason: str, now: int) -> Status:
        return Status(
            alert_id=str(expansion.alert_id),
            recipient_id=recipient_id,
            attempt=1,
            outcome=Outcome.FAILED,
            segment=0,
            number_hash=number_hash(self.number_key, msisdn.encode()) if msisdn else 0,
            reason=reason,
            at=now,
        )

    def _chunk_events(self, expansion: Expansion, chunks: int) -> list[Record]:
        # One partition for all of an alert (its key decides), so that the last chunk comes last.
        topic, key = self.names.expansions(expansion.lane), str(expansion.alert_id).encode()
        events = (
            expansion.model_copy(update={"kind": "chunk", "chunk": chunk, "chunks": chunks}) for chunk in range(chunks)
        )
        return [Record(topic, key, event.model_dump_json().encode()) for event in events]

    async def _find(self, connection: Connection, expansion: Expansion) -> StoredAlert:
        stored = await lock_alert(connection, expansion.alert_id)
        if stored is None:
            raise self._not_stored(expansion)
        return stored

    def _not_stored(self, expansion: Expansion) -> PoisonError:
        return PoisonError(f"alert_id: {expansion.alert_id} is not stored; publish alerts on {self.names.alerts}")


def read(event: Event) -> Expansion:
    """The expansion of a record; PoisonError names the field that is wrong."""
    try:
        expansion = Expansion.model_validate_json(event.value or b"")
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise PoisonError(f"{'.'.join(map(str, fault['loc'])) or 'expansion'}: {fault['msg']}") from None
    if expansion.status not in CAP_STATUSES:
        raise PoisonError(f"status: {expansion.status!r} is none of CAP's; publish alerts, not expansions")
    return expansion


def _emptiness(expansion: Expansion, missing: Sequence[str]) -> str:
    if missing:
        return f"addresses: no group {', '.join(missing)} is known any more; import it, and publish anew"
    who = "marked participant" if expansion.participants_only else "recipient"
    return f"addresses: no {who} is in {', '.join(expansion.groups)}; name a group that has members"
