"""What one expansion does: an audience is resolved and stored in chunks, a chunk becomes jobs.

The stage (`streams.expander`) decides which, and sends what these give.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg
import structlog
from pydantic import ValidationError

from broadcast import metrics
from broadcast.alarms import ALERT_NOT_SENT, raise_alarm
from broadcast.alerts.assessment import NEXT_STEP, explain_empty
from broadcast.alerts.expansions import not_stored, require_expansion
from broadcast.alerts.jobs import Columns, fill_job_batches, find_unreadable
from broadcast.alerts.store import (
    StoredAlert,
    durable_transaction,
    lock_alert,
    move_alert,
    set_audience,
)
from broadcast.audience import ChunkError, ChunkRows, count_members, find_doubts, read_chunk, resolve, suggest
from broadcast.cap import choose_all
from broadcast.cells.numbers import country_prefix
from broadcast.clock import utc_now
from broadcast.database import Connection
from broadcast.errors import PoisonError
from broadcast.kafka.batches import Batch, Record
from broadcast.lifecycle import Transition, may_happen
from broadcast.pii import number_hash
from broadcast.routing import NO_ROUTE, Route, RouteTable
from broadcast.settings import Settings
from schemas import alert
from schemas.expansion import Expansion
from schemas.status import Outcome, Status
from schemas.topics import Names

log = structlog.get_logger(__name__)

CAP_STATUSES = frozenset(alert.Status)

NO_NUMBER = "no number: the recipient, or who has the number since, has left the directory"
UNREADABLE_NUMBER = "no number: it is not E.164"
UNROUTED = "no route carries numbers that begin with {prefix} with CAP status {status}"


def read_expansion(value: bytes | None) -> Expansion:
    """The expansion of a record's value; PoisonError names the field that is wrong."""
    try:
        expansion = Expansion.model_validate_json(value or b"")
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise PoisonError(f"{'.'.join(map(str, fault['loc'])) or 'expansion'}: {fault['msg']}") from None
    if expansion.status not in CAP_STATUSES:
        raise PoisonError(f"status: {expansion.status!r} is none of CAP's; publish alerts, not expansions")
    return expansion


async def commit_audience(pool: asyncpg.Pool, asked: Expansion, settings: Settings) -> Expansion:
    """Resolve the whole audience at one instant and store it; the expansion as stored, with the number of its chunks.

    It is 0 when nobody is in the audience; then the alert is refused. An audience that is stored already stays as it
    is. PoisonError for an alert that is not stored, and for a record that contradicts the stored alert.
    """
    async with durable_transaction(pool) as connection:
        expansion = await require_expansion(connection, asked, settings)
        # Not locked before: a stop of this alert must not keep the planner waiting for its audience.
        audience = await resolve(
            connection,
            expansion.alert_id,
            expansion.groups,
            chunk_size=settings.chunk_size,
            participants_only=expansion.participants_only,
        )
        stored = await _lock_stored(connection, expansion.alert_id, settings)
        await set_audience(
            connection,
            expansion.alert_id,
            audience=audience.count,
            suppressed=audience.suppressed,
            chunks=audience.chunks,
            chain=audience.chain,
        )
        if audience.count == 0 and may_happen(stored.state, Transition.REFUSED):
            marked_only = expansion.participants_only and not audience.missing
            members = await count_members(connection, expansion.groups) if marked_only else 0
            reason = explain_empty(
                expansion.groups,
                audience.missing,
                participants_only=expansion.participants_only,
                members=members,
                suggestion=suggest(await find_doubts(connection, expansion.groups)),
            )
            log.warning("alert_refused", reason=reason)
            await move_alert(connection, stored.alert_id, stored.state, Transition.REFUSED, at=utc_now(), reason=reason)
            alarm = f"nobody is sent this {stored.status} alert: {reason}. {NEXT_STEP}"
            await raise_alarm(connection, ALERT_NOT_SENT, str(stored.alert_id), alarm)
    if stored.audience is None:
        log.info("audience_resolved", audience=audience.count, chunks=audience.chunks, lane=expansion.lane)
        metrics.jobs_suppressed.labels("suppressed").inc(audience.suppressed)
    return expansion.model_copy(update={"chunks": audience.chunks})


async def read_people(pool: asyncpg.Pool, expansion: Expansion) -> ChunkRows:
    """The people of one chunk; PoisonError when it is not stored."""
    async with pool.acquire() as connection:
        try:
            return await read_chunk(connection, expansion.alert_id, expansion.chunk)
        except ChunkError as error:
            raise PoisonError(str(error)) from None


async def commit_expanded(pool: asyncpg.Pool, expansion: Expansion, settings: Settings) -> None:
    """Note that the last chunk of an alert is reached.

    Also of an alert that was withdrawn meanwhile: senders give its recipients their final state.
    """
    async with durable_transaction(pool) as connection:
        stored = await _lock_stored(connection, expansion.alert_id, settings)
        if may_happen(stored.state, Transition.EXPANDED):
            now = utc_now()
            await move_alert(connection, stored.alert_id, stored.state, Transition.EXPANDED, at=now)
            metrics.alert_expand_duration.observe((now - stored.accepted_at).total_seconds())


def chunk_records(names: Names, expansion: Expansion) -> list[Record]:
    """One expansion record for each chunk of a resolved audience.

    All of an alert go to one partition, which their key decides, so that the last chunk comes last.
    """
    topic, key = names.expansions(expansion.lane), str(expansion.alert_id).encode()
    parts = (expansion.model_copy(update={"kind": "chunk", "chunk": chunk}) for chunk in range(expansion.chunks))
    return [Record(topic, key, part.model_dump_json().encode()) for part in parts]


class ChunkEncoder:
    """Makes the jobs of a chunk, and a failed status for each recipient who cannot have one."""

    def __init__(self, routes: Sequence[Route], number_key: bytes) -> None:
        self.table = RouteTable(routes)
        self._partitions = [route.partitions for route in routes]
        self._number_key = number_key

    def encode(
        self, expansion: Expansion, rows: ChunkRows, make_batch: Callable[[], Batch], *, now: int
    ) -> tuple[list[tuple[int, int, Batch]], list[Status]]:
        """Jobs as (route index, partition, batch), and statuses; `now` is their time in milliseconds."""
        routes = self.table.routes_of(rows.msisdns, expansion.status)
        unreadable = find_unreadable(rows.msisdns)
        for place in unreadable:
            routes[place] = NO_ROUTE
        variants = choose_all(expansion.languages, rows.languages, expansion.default_variant)
        columns = Columns(rows.recipient_ids, rows.msisdns, variants, routes)
        batches, left_out = fill_job_batches(make_batch, expansion.alert_id, columns, self._partitions, now=now)
        statuses = [self._failed(expansion, recipient_id, "", NO_NUMBER, now) for recipient_id in rows.missing]
        for place in left_out:
            msisdn, reason = rows.msisdns[place], UNREADABLE_NUMBER
            if place not in unreadable:
                reason = UNROUTED.format(prefix=country_prefix(msisdn), status=expansion.status)
            statuses.append(self._failed(expansion, rows.recipient_ids[place], msisdn, reason, now))
        return batches, statuses

    def _failed(self, expansion: Expansion, recipient_id: int, msisdn: str, reason: str, now: int) -> Status:
        return Status(
            alert_id=str(expansion.alert_id),
            recipient_id=recipient_id,
            attempt=1,
            outcome=Outcome.FAILED,
            segment=0,
            number_hash=number_hash(self._number_key, msisdn.encode()) if msisdn else 0,
            reason=reason,
            at=now,
        )


async def _lock_stored(connection: Connection, alert_id: UUID, settings: Settings) -> StoredAlert:
    stored = await lock_alert(connection, alert_id)
    if stored is None:
        raise not_stored(alert_id, settings)
    return stored
