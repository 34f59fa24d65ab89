"""`/v1/alerts`: publish, cancel, list, show."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broadcast import metrics
from broadcast.alerts.documents.document import Submitted, Targets, write_stored_as_cap
from broadcast.alerts.publishing import cancellation_records, cancelled_event
from broadcast.alerts.queries import (
    find_alert,
    find_state,
    find_stored,
    list_alerts,
    list_events,
    read_cursor,
    read_document,
    write_cursor,
)
from broadcast.alerts.unplanned import WAITS, UnplannedAlerts, place_of
from broadcast.api.authorization import Actor, Backing
from broadcast.api.bodies import (
    AcceptedBody,
    AlertBody,
    AlertDetailBody,
    AlertPageBody,
    CancelledBody,
    EventBody,
    links_of,
    write_page,
)
from broadcast.api.documents import JSON_TYPE, XML_TYPES, areas_file_of, media_type_of, read_body, read_submitted
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX
from broadcast.api.problems import MEDIA_TYPE, FindingBody, Problem, ProblemBody
from broadcast.api.routes.strict_json import StrictRoute
from broadcast.api.services import Services
from broadcast.api.submission import submit
from broadcast.cap import MEDIA_TYPE as CAP_TYPE
from broadcast.clock import utc_now
from broadcast.lifecycle import CANCEL_ANSWERS, AlertState, Transition, next_state
from schemas.alert import GROUPS_MAX, Alert
from schemas.scalar import GroupName

PAGE_DEFAULT = 50
PAGE_MAX = 500

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}}
    for code, text in (
        (400, "Neither XML nor JSON"),
        (401, "No API key, or a wrong one"),
        (404, "No such alert"),
        (409, "In conflict with what is known"),
        (413, "More bytes than an alert may have"),
        (415, "A media type that is not read here"),
        (422, "Breaks a rule; `findings` name field and rule"),
        (429, "Too many requests are in work; see Retry-After"),
        (503, "Something this stands on is away; see Retry-After"),
    )
}

_ALERT_REFERENCE = {"$ref": "#/components/schemas/Alert"}
_REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {JSON_TYPE: {"schema": _ALERT_REFERENCE}}
        | {xml: {"schema": {"type": "string", "description": "CAP 1.2"}} for xml in sorted(XML_TYPES)},
    }
}

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=StrictRoute)


def _printable(text: str) -> str:
    """A stop must not fail on what was pasted into its reason."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


class CancelBody(BaseModel):
    """Why an alert is cancelled; it stands in the audit."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[str, Field(max_length=1000), AfterValidator(_printable)] = ""


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents that a route may answer with."""
    return {code: PROBLEMS[code] for code in (401, 429, 503, *codes)}


async def read_targets(
    services: Backing,
    groups: Annotated[list[GroupName] | None, Query(max_length=GROUPS_MAX, description="target groups to add")] = None,
    by_area: Annotated[bool, Query(description="add the groups of its areas in BROADCAST_AREAS_FILE")] = False,
) -> Targets:
    """The target groups that a publication names beside its document."""
    return Targets(tuple(groups or ()), areas_file_of(services.settings) if by_area else None)


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=AcceptedBody,
    responses=problems(400, 409, 413, 415, 422),
    openapi_extra=_REQUEST_BODY,
)
async def publish_alert(
    request: Request,
    response: Response,
    *,
    services: Backing,
    actor: Actor,
    targets: Annotated[Targets, Depends(read_targets)],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> AcceptedBody:
    """Publish an alert: CAP 1.2 XML, or JSON with CAP's names and `groups`.

    `groups`, which may be repeated, adds target groups to those that the document names; so does `by_area`.

    202 says that all in-sync replicas of Kafka have it; PostgreSQL need not be there. The same alert again, or the same
    Idempotency-Key with the same alert, gives the same answer and is not published twice.
    """
    media_type = media_type_of(request)
    body = await read_body(request)
    submitted = Submitted(body, media_type in XML_TYPES, actor, targets, utc_now())
    document = await read_submitted(submitted, turns=services.turns, settings=services.settings)
    done = await submit(services, document, actor=actor, idempotency_key=idempotency_key)
    request.state.alert_id = done.alert_id
    links = links_of(done.alert_id)
    response.headers["Location"] = links.self
    if done.repeated:
        response.headers["Idempotency-Replayed"] = "true"
    return AcceptedBody(
        alert_id=done.alert_id,
        state=AlertState.ACCEPTED,
        links=links,
        warnings=[
            FindingBody(field=finding.path, rule=finding.rule, message=finding.message) for finding in done.warnings
        ],
    )


@router.post(
    "/{alert_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    response_model=CancelledBody,
    responses={code: PROBLEMS[code] for code in (401, 404, 409, 422, 503)},
)
async def cancel_alert(
    request: Request, alert_id: UUID, services: Backing, actor: Actor, body: CancelBody | None = None
) -> CancelledBody:
    """Stop an alert: all in-sync replicas of Kafka have the stop when this answers, and nothing undoes it.

    PostgreSQL need not be there; then an alert that nobody knows is stopped too. A completed alert is stopped as well,
    since copies of it may still be sent; it stays `completed`, with `stopped_at`. One that was refused or has expired
    is a 409 problem with its `state`.
    """
    request.state.alert_id = alert_id
    answer = CANCEL_ANSWERS[await _find_state(services, alert_id)]
    if not answer.stops:
        raise Problem(
            HTTPStatus.CONFLICT,
            "alert-ended",
            f"alert {alert_id} is {answer.state}: {answer.note}",
            state=answer.state,
        )
    reason = body.reason if body else ""
    now = utc_now()
    await services.publisher.write(cancellation_records(services.names, alert_id, actor=actor, reason=reason, now=now))
    services.register.unplanned.note(cancelled_event(alert_id, actor=actor, reason=reason, now=now))
    metrics.stops.labels("api").inc()
    return CancelledBody(alert_id=alert_id, state=answer.state, note=answer.note, links=links_of(alert_id))


async def _find_state(services: Services, alert_id: UUID) -> AlertState | None:
    answered, state = await services.ask(partial(find_state, alert_id=alert_id))
    if answered and state is None and services.register.alert(alert_id) is None:
        raise unknown(alert_id)
    return state


@router.get("", response_model=AlertPageBody, responses=problems(422))
async def show_alerts(
    services: Backing,
    _: Actor,
    state: Annotated[list[AlertState] | None, Query(description="only alerts in these states")] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> Response:
    """Alerts, the newest first; those that wait for the planner too."""
    unplanned, states = services.register.unplanned, state or ()
    waiting = unplanned.listed(states, read_cursor(cursor) if cursor else None)
    async with services.database() as connection:
        page = await list_alerts(connection, limit=limit, states=states, cursor=cursor)
        stored = set(await find_stored(connection, [each.alert_id for each in waiting])) if waiting else set()
    unplanned.forget(stored)
    rows = [_body_of(AlertBody.model_validate(row), unplanned) for row in page.alerts]
    rows += [AlertBody.model_validate(each) for each in waiting if each.alert_id not in stored]
    rows.sort(key=place_of)
    more = page.next_cursor is not None or len(rows) > limit
    cursor = write_cursor(rows[limit - 1]) if more else None
    return write_page(AlertPageBody(alerts=rows[:limit], next_cursor=cursor))


@router.get("/{alert_id}", response_model=AlertDetailBody, responses=problems(404))
async def show_alert(request: Request, alert_id: UUID, services: Backing, _: Actor) -> AlertDetailBody:
    """One alert with what happened to it. One that waits for the planner is `accepted`."""
    request.state.alert_id = alert_id
    async with services.database() as connection:
        row = await find_alert(connection, alert_id)
        events = await list_events(connection, alert_id)
    links = links_of(alert_id)
    if row is None:
        waiting = services.register.unplanned.find(alert_id)
        if waiting is not None:
            return AlertDetailBody(**AlertBody.model_validate(waiting).model_dump(), links=links)
        if services.register.alert(alert_id) is None:
            raise unknown(alert_id)
        return AlertDetailBody(alert_id=alert_id, state=AlertState.ACCEPTED, reason=WAITS, links=links)
    services.register.unplanned.forget([alert_id])
    body = _body_of(AlertBody.model_validate(row), services.register.unplanned)
    return AlertDetailBody(
        **body.model_dump(),
        links=links,
        events=[EventBody.model_validate(event) for event in events],
    )


@router.get(
    "/{alert_id}/document",
    response_class=Response,
    responses=problems(404) | {200: {"content": {CAP_TYPE: {}, JSON_TYPE: {"schema": _ALERT_REFERENCE}}}},
)
async def show_document(request: Request, alert_id: UUID, services: Backing, _: Actor) -> Response:
    """The alert itself: CAP 1.2 XML, or JSON if `Accept` asks for that."""
    request.state.alert_id = alert_id
    async with services.database() as connection:
        document = await read_document(connection, alert_id)
    if document is None:
        raise unknown(alert_id)
    if JSON_TYPE in request.headers.get("accept", ""):
        return Response(document, media_type=JSON_TYPE)

    size = len(document)
    if size <= INLINE_BYTES_MAX:
        return Response(write_stored_as_cap(document), media_type=CAP_TYPE)
    return Response(await services.turns.run(size, write_stored_as_cap, document), media_type=CAP_TYPE)


def _body_of(alert: AlertBody, unplanned: UnplannedAlerts) -> AlertBody:
    """A stored alert; one whose cancel Kafka has is stopped, also while the planner has not stored that."""
    cancel = unplanned.cancel_of(alert.alert_id, alert.state) if alert.stopped_at is None else None
    if cancel is None:
        return alert
    return alert.model_copy(
        update={"state": next_state(alert.state, Transition.CANCELLED), "stopped_at": cancel.at, "reason": cancel.note}
    )


def unknown(alert_id: UUID) -> Problem:
    """The answer to an alert id that is not known."""
    return Problem(
        HTTPStatus.NOT_FOUND, "alert-unknown", f"there is no alert {alert_id}; `broadcast alert list` lists them"
    )


SCHEMAS: tuple[type[BaseModel], ...] = (Alert, ProblemBody)
"""Models that the OpenAPI document refers to by name and that no route returns."""
