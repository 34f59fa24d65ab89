"""By which routes the queued recipients of an alert go, and which of them wait for a new try."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from broadcast.audit.chunk_states.holding import find_holding
from broadcast.audit.codes import CODE_OF_OUTCOME, QUEUED, STATE_OF_CODES
from broadcast.audit.errors import UnknownAlertError
from broadcast.database import Connection
from broadcast.routing import NO_ROUTE, Route, RouteTable
from broadcast.routing.routes import choose_delay
from broadcast.smpp.codec.command_status import Follow, meaning_of
from schemas.status import DeliveryState

CHUNKS_MAX = 20
"""Chunks with queued recipients that are read: all if there are no more, else so many spread evenly over them."""

_HEADS = """
WITH queued AS MATERIALIZED (
    SELECT member.id, left(recipients.msisdn, $3) AS head
    FROM chunks CROSS JOIN unnest(chunks.recipients) AS member (id) JOIN recipients ON recipients.id = member.id
    WHERE chunks.alert_id = $1 AND chunks.chunk = ANY ($2) AND NOT chunks.suppressed ? member.id::text AND NOT EXISTS (
        SELECT FROM attempts WHERE attempts.alert_id = $1 AND recipient_id = member.id AND NOT outcome = ANY ($4)
    )
)
SELECT queued.head, accounts.name AS account, latest.error, latest.attempt, latest.reason,
       min(latest.answered_at) AS answered_at, count(*) AS count
FROM queued LEFT JOIN LATERAL (
    SELECT account, error, attempt, reason, answered_at FROM attempts
    WHERE attempts.alert_id = $1 AND recipient_id = queued.id ORDER BY attempt DESC, answered_at DESC LIMIT 1
) AS latest ON true LEFT JOIN accounts ON accounts.id = latest.account
GROUP BY queued.head, accounts.name, latest.error, latest.attempt, latest.reason
"""

_WAITING = [code for code in CODE_OF_OUTCOME.values() if STATE_OF_CODES[code, None] is DeliveryState.QUEUED]


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many recipients were refused for now for this reason; none is tried again before `next_try_at`."""

    reason: str
    recipients: int
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class QueuedRoute:
    """A route with so many `queued` recipients; `accounts` may carry them: its own, and those of its fallback route.
    `simulated`: no phone is behind them.

    `waiting` are those of them that wait for a new try, the most first.
    """

    route: str
    prefixes: tuple[str, ...]
    accounts: tuple[str, ...]
    simulated: bool
    queued: int
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class QueuedRoutes:
    """Routes, those with most queued recipients first; `complete` if all chunks with queued recipients were read.

    Else a route may be missing that has few recipients, and `queued` counts those of `CHUNKS_MAX` chunks only.
    """

    routes: list[QueuedRoute]
    complete: bool


async def find_queued_routes(connection: Connection, alert_id: UUID, routes: tuple[Route, ...]) -> QueuedRoutes:
    """The routes of the queued recipients; raises `UnknownAlertError`."""
    alert = await connection.fetchrow("SELECT status FROM alerts WHERE alert_id = $1", alert_id)
    if alert is None:
        raise UnknownAlertError(alert_id)
    length = max(len(prefix) for route in routes for prefix in route.prefixes)
    chunks = [one.chunk for one in await find_holding(connection, alert_id, QUEUED, -(2**63))]
    chosen = [chunks[place] for place in choose_chunks(len(chunks))]
    rows = await connection.fetch(_HEADS, alert_id, chosen, length, _WAITING)
    indexes = RouteTable(routes).routes_of([row["head"] for row in rows], alert["status"])
    counts: Counter[int] = Counter()
    waiting: defaultdict[int, list[Waiting]] = defaultdict(list)
    for row, index in zip(rows, indexes, strict=True):
        if index != NO_ROUTE:
            counts[index] += row["count"]
            if row["attempt"] is not None:
                next_try_at = find_next_try(
                    routes[index], row["account"] or "", row["error"], row["attempt"], row["answered_at"]
                )
                waiting[index].append(Waiting(row["reason"] or "", row["count"], next_try_at))
    found = [
        _describe(routes[index], routes, queued, add_by_reason(waiting[index]))
        for index, queued in counts.most_common()
    ]
    return QueuedRoutes(found, len(chunks) <= CHUNKS_MAX)


def choose_chunks(chunks: int) -> list[int]:
    """The places of at most `CHUNKS_MAX` of so many chunks, spread evenly, ascending."""
    return sorted({number * chunks // min(chunks, CHUNKS_MAX) for number in range(min(chunks, CHUNKS_MAX))})


def find_next_try(route: Route, account: str, error: int, attempt: int, answered_at: datetime) -> datetime:
    """The earliest instant of the try after this one; a sender adds up to a fifth to the delay."""
    own = next((each for each in route.accounts if each.name == account), None)
    follow = meaning_of(error, {} if own is None else own.command_status).follow
    step = attempt - 1
    if follow is Follow.SAME_SESSION:
        step -= 1
    elif follow is Follow.OTHER_ACCOUNT and attempt == 1:
        # Another account may take it after the shortest delay, whatever this one asks for.
        return answered_at + timedelta(seconds=choose_delay(route.delays_seconds, 0))
    least = 0 if own is None else own.pause_seconds.get(error, 0)
    return answered_at + timedelta(seconds=choose_delay(route.delays_seconds, max(0, step), least))


def add_by_reason(waiting: Iterable[Waiting]) -> tuple[Waiting, ...]:
    """One for each reason, with the first of their next tries; those of most recipients first."""
    found: dict[str, Waiting] = {}
    for each in waiting:
        other = found.get(each.reason, Waiting(each.reason, 0, each.next_try_at))
        next_try_at = min(each.next_try_at, other.next_try_at)
        found[each.reason] = Waiting(each.reason, each.recipients + other.recipients, next_try_at)
    return tuple(sorted(found.values(), key=lambda each: (-each.recipients, each.reason)))


def _describe(route: Route, routes: tuple[Route, ...], queued: int, waiting: tuple[Waiting, ...]) -> QueuedRoute:
    carriers = [route, *(other for other in routes if other.name == route.fallback_route)]
    accounts = tuple(account.name for carrier in carriers for account in carrier.accounts)
    return QueuedRoute(route.name, route.prefixes, accounts, route.simulated, queued, waiting)
