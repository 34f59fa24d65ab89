"""`/v1/alerts/{id}/summary`, `/deliveries`, and one recipient's history: the audit over HTTP. No phone number in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from broadcast.alerts.queries import find_alert
from broadcast.api.authorization import Actor, Backing
from broadcast.api.bodies import write_page
from broadcast.api.problems import Problem
from broadcast.api.routes.alerts import PAGE_MAX, problems, unknown
from broadcast.api.services import Services
from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.deliveries.export import delivery_row
from broadcast.audit.deliveries.history import history
from broadcast.audit.deliveries.pages import deliveries
from broadcast.audit.deliveries.queued import QueuedRoute, find_queued_routes
from broadcast.audit.deliveries.summary import Summary, summary
from broadcast.audit.errors import UnknownAlertError
from broadcast.database import Connection
from broadcast.errors import SettingsError
from broadcast.routes_file import load_routes
from broadcast.routing import Simulation
from schemas.receipt import ReceiptState
from schemas.status import DeliveryState, Outcome

PAGE_DEFAULT = 100
ID_MAX = 2**63 - 1

router = APIRouter(prefix="/v1/alerts/{alert_id}", tags=["audit"])


class DeliveryBody(BaseModel):
    """What became of the alert for one recipient; the attempt shown is the one that `state` rests on."""

    recipient_id: int
    state: DeliveryState
    attempts: int
    account: str | None = None
    submitted_at: datetime | None = None
    receipt_at: datetime | None = None
    outcome: Outcome | None = None
    receipt_state: ReceiptState | None = None
    error: str | None = None
    possible_duplicate: bool
    receipt_overdue: bool
    reason: str | None = None


class DeliveryPageBody(BaseModel):
    """Deliveries with recipient ids ascending; give `next_cursor` as `cursor` for the next page.

    With `simulated` other than `none`, `delivered` speaks of a simulator.
    """

    simulated: Simulation | None = None
    deliveries: list[DeliveryBody]
    next_cursor: int | None = None


class QueuedRoutesBody(BaseModel):
    """The routes of the queued recipients, those of most of them first; null while the routes file cannot be read.

    `complete` is false where only a part of a large audience was read: a route of few queued recipients may be missing.
    """

    routes: list[QueuedRoute] | None
    complete: bool


class HistoryEventBody(BaseModel):
    """One event of a history: `source` names the evidence, `raw` is the record as Kafka had it."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    kind: str
    facts: dict[str, Any]
    source: dict[str, Any]
    raw: str


class HistoryBody(BaseModel):
    """Everything known of one recipient of one alert, oldest first."""

    alert_id: UUID
    recipient_id: int
    events: list[HistoryEventBody]


@router.get("/summary", response_model=Summary, responses=problems(404))
async def show_summary(
    request: Request,
    alert_id: UUID,
    services: Backing,
    _: Actor,
    exact: Annotated[bool, Query(description="count every attempt anew; seconds for a million")] = False,
    reasons: Annotated[bool, Query(description="say why recipients failed, and how many for each reason")] = False,
) -> Summary:
    """How many recipients are in which state; their sum is the audience, or `gap` says what is missing."""
    async with _evidence(request, alert_id, services) as connection:
        return await summary(connection, alert_id, exact=exact, reasons=reasons, receipt_deadline=_deadline(services))


@router.get("/queued-routes", response_model=QueuedRoutesBody, responses=problems(404))
async def show_queued_routes(request: Request, alert_id: UUID, services: Backing, _: Actor) -> QueuedRoutesBody:
    """The routes that carry the queued recipients, with prefixes and accounts. Of a large alert a part is read."""
    try:
        routes = load_routes(services.settings)
    except SettingsError:
        return QueuedRoutesBody(routes=None, complete=False)
    async with _evidence(request, alert_id, services) as connection:
        found = await find_queued_routes(connection, alert_id, routes)
    return QueuedRoutesBody(routes=found.routes, complete=found.complete)


@router.get("/deliveries", response_model=DeliveryPageBody, responses=problems(404, 422))
async def show_deliveries(
    *,
    request: Request,
    alert_id: UUID,
    services: Backing,
    _: Actor,
    state: Annotated[DeliveryState | None, Query(description="only deliveries in this state")] = None,
    cursor: Annotated[int | None, Query(ge=0, le=ID_MAX, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> Response:
    """What became of an alert for each recipient, by recipient id."""
    async with _evidence(request, alert_id, services) as connection:
        page = await deliveries(
            connection, alert_id, state=state, cursor=cursor, limit=limit, receipt_deadline=_deadline(services)
        )
        accounts = await account_names(connection)
        alert = await find_alert(connection, alert_id)
    body = DeliveryPageBody(
        simulated=alert and alert.simulated,
        deliveries=[DeliveryBody.model_validate(delivery_row(delivery, accounts)) for delivery in page.rows],
        next_cursor=page.next_cursor,
    )
    return write_page(body)


@router.get("/recipients/{recipient_id}/history", response_model=HistoryBody, responses=problems(404))
async def show_history(
    request: Request,
    alert_id: UUID,
    recipient_id: Annotated[int, Path(ge=0, le=ID_MAX)],
    services: Backing,
    _: Actor,
) -> HistoryBody:
    """Everything known of one recipient of one alert, from the evidence. 404 for one who is not in its audience."""
    async with _evidence(request, alert_id, services) as connection:
        events = await history(connection, alert_id, recipient_id)
    if not any(event.kind != "alert" for event in events):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "recipient-unknown",
            f"recipient {recipient_id} is not in the audience of alert {alert_id}",
        )
    return HistoryBody(
        alert_id=alert_id,
        recipient_id=recipient_id,
        events=[HistoryEventBody.model_validate(event) for event in events],
    )


@asynccontextmanager
async def _evidence(request: Request, alert_id: UUID, services: Services) -> AsyncIterator[Connection]:
    request.state.alert_id = alert_id
    async with services.database() as connection:
        try:
            yield connection
        except UnknownAlertError:
            raise unknown(alert_id) from None


def _deadline(services: Services) -> timedelta:
    return timedelta(seconds=services.settings.receipt_deadline_seconds)
