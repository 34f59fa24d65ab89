"""The deliveries of an alert: one page, or all of them as a stream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from broadcast.audit.deliveries.by_chunk import walk
from broadcast.audit.deliveries.state import Delivery
from broadcast.audit.deliveries.summary import DEFAULT_RECEIPT_DEADLINE
from broadcast.audit.errors import UnknownAlertError
from broadcast.clock import utc_now
from broadcast.database import Connection
from schemas.status import DeliveryState

DEFAULT_LIMIT = 1_000


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
    """Up to `limit` deliveries of one alert after the recipient id `cursor`; raises `UnknownAlertError`."""
    rows: list[Delivery] = []
    async for delivery in stream_deliveries(
        connection, alert_id, state=state, cursor=cursor, receipt_deadline=receipt_deadline
    ):
        if len(rows) == limit:
            return Page(rows, rows[-1].recipient_id)
        rows.append(delivery)
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
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1)", alert_id):
        raise UnknownAlertError(alert_id)
    after = -(2**63) if cursor is None else cursor
    overdue_before = (now or utc_now()) - receipt_deadline
    async for chunk in walk(connection, alert_id, overdue_before=overdue_before, after=after):
        for delivery in chunk:
            if state is None or delivery.state is state:
                yield delivery
