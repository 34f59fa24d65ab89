"""The deliveries of an alert: one page, or all of them as a stream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from broadcast.audit.deliveries.by_chunk import walk
from broadcast.audit.deliveries.state import Delivery
from broadcast.audit.deliveries.summary import DEFAULT_RECEIPT_DEADLINE
from broadcast.audit.errors import UnknownAlertError
from broadcast.clock import monotonic, utc_now
from broadcast.database import Connection
from schemas.status import DeliveryState

DEFAULT_LIMIT = 1_000

PAGE_SECONDS = 0.25
"""A page that has looked for so long ends with what it has found, so that it never takes half a second."""

_FIRST = -(2**63)
"""Below every recipient id."""


@dataclass(frozen=True, slots=True)
class Page:
    """Deliveries with recipient ids ascending; `next_cursor` begins the next page, None says that this is the last."""

    rows: list[Delivery]
    next_cursor: int | None


async def deliveries(
    connection: Connection,
    alert_id: UUID,
    *,
    state: DeliveryState | None = None,
    cursor: int | None = None,
    limit: int = DEFAULT_LIMIT,
    receipt_deadline: timedelta = DEFAULT_RECEIPT_DEADLINE,
) -> Page:
    """Up to `limit` deliveries of one alert after the recipient id `cursor`; raises `UnknownAlertError`.

    A page may hold fewer, or none, and name a cursor all the same: then looking for more would have taken longer than
    `PAGE_SECONDS`. Only a page without a cursor is the last.
    """
    rows: list[Delivery] = []
    ends_at = monotonic() + PAGE_SECONDS
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await _confirm(connection, alert_id)
        walked = walk(
            connection,
            alert_id,
            overdue_before=utc_now() - receipt_deadline,
            after=_FIRST if cursor is None else cursor,
            state=state,
            wanted=limit + 1,
        )
        async for found, reached in walked:
            rows += found
            if len(rows) > limit:
                return Page(rows[:limit], rows[limit - 1].recipient_id)
            if monotonic() > ends_at:
                return Page(rows, reached)
    return Page(rows, None)


async def stream_deliveries(
    connection: Connection,
    alert_id: UUID,
    *,
    state: DeliveryState | None = None,
    cursor: int | None = None,
    receipt_deadline: timedelta = DEFAULT_RECEIPT_DEADLINE,
    now: datetime | None = None,
) -> AsyncIterator[Delivery]:
    """Every delivery after `cursor`, recipient ids ascending; memory holds one chunk of the audience at a time."""
    await _confirm(connection, alert_id)
    after = _FIRST if cursor is None else cursor
    overdue_before = (now or utc_now()) - receipt_deadline
    async for found, _ in walk(connection, alert_id, overdue_before=overdue_before, after=after, state=state):
        for delivery in found:
            yield delivery


async def _confirm(connection: Connection, alert_id: UUID) -> None:
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1)", alert_id):
        raise UnknownAlertError(alert_id)
