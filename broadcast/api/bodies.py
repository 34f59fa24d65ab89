"""What the API answers, as models: the OpenAPI document is made of them."""

from datetime import datetime
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from broadcast.api.problems import FindingBody
from broadcast.lifecycle import AlertState
from broadcast.routing import Simulation


class _Body(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Links(_Body):
    """Where more is to be found, relative to this server."""

    self: str
    summary: str
    deliveries: str
    cancel: str


class AcceptedBody(_Body):
    """An alert that Kafka has. `warnings` are findings that do not refuse it."""

    alert_id: UUID
    state: AlertState
    links: Links
    warnings: list[FindingBody] = []


class AlertBody(_Body):
    """An alert without its content. `audience` is absent until it is stored; the suppressed are in it.

    `reached` are the recipients with a receipt that says delivered, so far; absent without an audience. `simulated`
    says whether phones are reached: by `all` routes none is, by `none` each is. With `stopped_at` nothing more of it is
    submitted; one that was `completed` before the stop stays so.
    """

    alert_id: UUID
    state: AlertState
    reason: str | None = None
    lane: str | None = None
    sender: str | None = None
    identifier: str | None = None
    sent: datetime | None = None
    status: str | None = None
    msg_type: str | None = None
    groups: list[str] = []
    actor: str | None = None
    expires_at: datetime | None = None
    accepted_at: datetime | None = None
    planned_at: datetime | None = None
    expanded_at: datetime | None = None
    stopped_at: datetime | None = None
    completed_at: datetime | None = None
    audience: int | None = None
    suppressed: int | None = None
    reached: int | None = None
    simulated: Simulation | None = None


class EventBody(_Body):
    """Something that happened to an alert, by whom."""

    event: str
    actor: str
    reason: str | None = None
    at: datetime


class AlertDetailBody(AlertBody):
    """An alert with what happened to it."""

    links: Links
    events: list[EventBody] = []


class AlertPageBody(_Body):
    """A page of alerts, the newest first."""

    alerts: list[AlertBody]
    next_cursor: str | None = None


class CancelledBody(_Body):
    """A stop that stands: nothing more of the alert is submitted. `note` says what that still changes."""

    alert_id: UUID
    state: AlertState
    note: str
    links: Links


def write_page(page: BaseModel) -> Response:
    """The answer with a page of many rows: FastAPI would take three times as long to write it."""
    return Response(page.model_dump_json(), media_type="application/json")


def links_of(alert_id: UUID) -> Links:
    """The links of an alert."""
    at = f"/v1/alerts/{alert_id}"
    return Links(self=at, summary=f"{at}/summary", deliveries=f"{at}/deliveries", cancel=f"{at}/cancel")
