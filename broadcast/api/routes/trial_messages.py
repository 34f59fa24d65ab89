"""`/v1/test-messages`: one test message to one number, on the path of every alert."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broadcast.alerts.documents.document import check_document
from broadcast.alerts.trial import (
    TEXT,
    TEXT_LENGTH_MAX,
    ensure_recipient,
    make_test_alert,
    require_account,
    require_route,
)
from broadcast.api.authorization import Actor, Backing
from broadcast.api.bodies import Links, links_of
from broadcast.api.problems import Problem, unavailable
from broadcast.api.routes.alerts import problems
from broadcast.api.routes.strict_json import StrictRoute
from broadcast.api.submission import submit
from broadcast.audience.rows import mask
from broadcast.cells.digits import NumberError
from broadcast.cells.numbers import MissingRegionError, normalise
from broadcast.clock import utc_now
from broadcast.errors import InputError
from broadcast.routes_file import load_routes
from schemas.alert import alert_id_of

router = APIRouter(prefix="/v1/test-messages", tags=["alerts"], route_class=StrictRoute)


def _sendable(text: str) -> str:
    """Refuse what PostgreSQL and phones do not take; a line break is fine."""
    for number, character in enumerate(text, 1):
        if not character.isprintable() and character != "\n":
            raise ValueError(f"character {number} is {character!r}, which is not printable; take it out")
    return text


class TestMessageBody(BaseModel):
    """The number in any usual form, what to say, and the one account that may take it. TEST is put in front."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    number: Annotated[str, Field(min_length=3, max_length=40)]
    text: Annotated[str, Field(min_length=1, max_length=TEXT_LENGTH_MAX), AfterValidator(_sendable)] = TEXT
    account: Annotated[str, Field(max_length=40)] = ""


class TestSentBody(BaseModel):
    """The alert that carries the test message, and its one recipient. `simulated`: no phone is behind the route."""

    alert_id: UUID
    recipient_id: int
    route: str
    account: str
    simulated: bool
    links: Links


@router.post("", status_code=HTTPStatus.ACCEPTED, response_model=TestSentBody, responses=problems(422))
async def send_test(
    request: Request, response: Response, body: TestMessageBody, services: Backing, actor: Actor
) -> TestSentBody:
    """Send a test message to one number, by a test route only: a live route never carries CAP status Test."""
    try:
        msisdn = normalise(body.number, services.settings.default_region)
    except NumberError as error:
        step = "write it with + and its country code, such as +49 151 23456789"
        if isinstance(error, MissingRegionError):
            step += ", or set BROADCAST_DEFAULT_REGION of the API"
        told = f"number {mask(body.number)} {error}: {step}"
        raise InputError(told, (("number", "E.164", told),)) from None
    route = require_route(load_routes(services.settings), msisdn)
    if body.account:
        require_account(route, body.account)
    secret = services.settings.number_hash_key
    number_key = secret.get_secret_value().encode() if secret is not None else None
    async with services.database() as connection:
        recipient_id, group = await ensure_recipient(connection, msisdn, number_key=number_key)
    now = utc_now()
    alert = make_test_alert(group, body.text, identifier=uuid4(), now=now, account=body.account)
    document = check_document(alert, services.settings, actor=actor, now=now)
    try:
        done = await submit(services, document, actor=actor, idempotency_key=None)
    except Problem as problem:
        if not problem.members.get("unconfirmed"):
            raise
        # Each request makes an alert of its own, so the same once more would be a second message.
        raise unavailable(
            "kafka",
            f"Kafka did not confirm the test message, and it may be sent all the same: look at alert "
            f"{alert_id_of(alert)} before you send another",
            unconfirmed=True,
            alert_id=str(alert_id_of(alert)),
        ) from problem
    request.state.alert_id = done.alert_id
    links = links_of(done.alert_id)
    response.headers["Location"] = links.self
    return TestSentBody(
        alert_id=done.alert_id,
        recipient_id=recipient_id,
        route=route.name,
        account=body.account,
        simulated=route.simulated,
        links=links,
    )
