"""By which routes the queued recipients of an alert go."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from broadcast.audit.codes import CODE_OF_OUTCOME, STATE_OF_CODES
from broadcast.audit.errors import UnknownAlertError
from broadcast.database import Connection
from broadcast.routing import NO_ROUTE, Route, RouteTable
from schemas.status import DeliveryState

CHUNKS_MAX = 20
"""Chunks that are read: all of a usual alert, else so many spread evenly over its audience."""

_HEADS = """
SELECT left(recipients.msisdn, $3) AS head, count(*) AS count
FROM chunks CROSS JOIN unnest(chunks.recipients) AS member (id) JOIN recipients ON recipients.id = member.id
WHERE chunks.alert_id = $1 AND chunks.chunk = ANY ($2) AND NOT chunks.suppressed ? member.id::text AND NOT EXISTS (
    SELECT FROM attempts WHERE attempts.alert_id = $1 AND recipient_id = member.id AND NOT outcome = ANY ($4)
)
GROUP BY head
"""

_WAITING = [code for code in CODE_OF_OUTCOME.values() if STATE_OF_CODES[code, None] is DeliveryState.QUEUED]


@dataclass(frozen=True, slots=True)
class QueuedRoute:
    """A route with so many `queued` recipients; `accounts` may carry them: its own, and those of its fallback route."""

    route: str
    prefixes: tuple[str, ...]
    accounts: tuple[str, ...]
    queued: int


@dataclass(frozen=True, slots=True)
class QueuedRoutes:
    """Routes, those with most queued recipients first; `complete` if all chunks of the audience were read.

    Else a route may be missing that has few recipients, and `queued` counts those of `CHUNKS_MAX` chunks only.
    """

    routes: list[QueuedRoute]
    complete: bool


async def find_queued_routes(connection: Connection, alert_id: UUID, routes: tuple[Route, ...]) -> QueuedRoutes:
    """The routes of the queued recipients; raises `UnknownAlertError`."""
    alert = await connection.fetchrow("SELECT status, chunks FROM alerts WHERE alert_id = $1", alert_id)
    if alert is None:
        raise UnknownAlertError(alert_id)
    length = max(len(prefix) for route in routes for prefix in route.prefixes)
    chunks = alert["chunks"] or 0
    rows = await connection.fetch(_HEADS, alert_id, choose_chunks(chunks), length, _WAITING)
    indexes = RouteTable(routes).routes_of([row["head"] for row in rows], alert["status"])
    counts: Counter[int] = Counter()
    for row, index in zip(rows, indexes, strict=True):
        if index != NO_ROUTE:
            counts[index] += row["count"]
    found = [_describe(routes[index], routes, queued) for index, queued in counts.most_common()]
    return QueuedRoutes(found, chunks <= CHUNKS_MAX)


def choose_chunks(chunks: int) -> list[int]:
    """The numbers of at most `CHUNKS_MAX` of so many chunks, spread evenly, ascending."""
    return sorted({number * chunks // min(chunks, CHUNKS_MAX) for number in range(min(chunks, CHUNKS_MAX))})


def _describe(route: Route, routes: tuple[Route, ...], queued: int) -> QueuedRoute:
    carriers = [route, *(other for other in routes if other.name == route.fallback_route)]
    accounts = tuple(account.name for carrier in carriers for account in carrier.accounts)
    return QueuedRoute(route.name, route.prefixes, accounts, queued)
