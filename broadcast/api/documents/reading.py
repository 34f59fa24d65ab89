"""The body of a publication to an alert: media type, ceilings, CAP, and what can be refused without the directory."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus

from fastapi import Request

from broadcast.alerts.assessment import assess, read_content
from broadcast.alerts.publishing import alert_event, digest_of
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX, ReadingTurns
from broadcast.api.problems import Problem
from broadcast.cap import AreaTable, Finding, groups_of_areas, read_cap, require_valid
from broadcast.errors import InputError
from broadcast.lifecycle import ends_of, in_force
from broadcast.settings import Settings
from schemas.alert import ALERT_BYTES_MAX, GROUPS_MAX, Alert, AlertEvent, AlertInvalidError, read_alert, write_event

XML_TYPES = frozenset({"application/cap+xml", "application/xml", "text/xml"})
JSON_TYPE = "application/json"

_SYNTAX_RULES = frozenset({"json", "xml"})


async def read_body(request: Request) -> bytes:
    """The body, at most `ALERT_BYTES_MAX` bytes of it in memory; 413 for more."""
    body = bytearray()
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > ALERT_BYTES_MAX:
        raise too_large(int(declared))
    async for piece in request.stream():
        body += piece
        if len(body) > ALERT_BYTES_MAX:
            raise too_large(len(body))
    return bytes(body)


def too_large(size: int) -> Problem:
    """The answer to more bytes than an alert may have."""
    message = f"has {size} bytes or more; the most is {ALERT_BYTES_MAX}"
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "alert-too-large",
        f"the alert {message}; leave out resources (derefUri), or simplify its polygons",
        findings=[("", "R22", message)],
    )


def media_type_of(request: Request) -> str:
    """The media type of the body without its parameters; 415 for one that is neither CAP XML nor JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == JSON_TYPE or media_type in XML_TYPES:
        return media_type
    accepted = ", ".join(sorted(XML_TYPES)) + f" (CAP 1.2) or {JSON_TYPE}"
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        f"Content-Type {media_type or '(none)'!r} is not read here; send {accepted}",
        headers={"Accept-Post": accepted.replace(" (CAP 1.2) or ", ", ")},
    )


@dataclass(frozen=True, slots=True)
class Document:
    """The event that submits an alert which breaks no rule of CAP's, and the warnings on it.

    `digest` and `value` are what Kafka gets: it takes long to make them of a large alert. `fault` says why the alert
    cannot reach anyone or stop anything, whatever the directory holds.
    """

    alert: Alert
    event: AlertEvent
    digest: bytes
    value: bytes
    warnings: tuple[Finding, ...] = ()
    fault: InputError | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Target groups beside those that a document names: by name, and those of its areas in a table."""

    groups: tuple[str, ...] = ()
    areas: AreaTable | None = None


async def read_submitted(
    body: bytes,
    media_type: str,
    *,
    actor: str,
    targets: Targets,
    turns: ReadingTurns,
    settings: Settings,
    now: datetime,
) -> Document:
    """The alert of a body, with `targets` added. 400 for what is no XML or JSON, 422 for a broken rule."""
    work = partial(_read_document, body, media_type, targets, settings, actor=actor, now=now)
    try:
        return work() if len(body) <= INLINE_BYTES_MAX else await turns.run(len(body), work)
    except InputError as error:
        raise refusal(error) from error


def check_document(alert: Alert, settings: Settings, *, actor: str, now: datetime) -> Document:
    """An alert with its warnings; InputError if it breaks a rule of CAP's."""
    warnings = require_valid(alert)
    event = alert_event(alert, actor=actor, now=now)
    fault = assess(alert, read_content(alert, settings, now=now), now=now).error
    return Document(alert, event, digest_of(alert), write_event(event), warnings, fault)


def _read_document(
    body: bytes, media_type: str, targets: Targets, settings: Settings, *, actor: str, now: datetime
) -> Document:
    alert, remarks = _read_xml(body) if media_type in XML_TYPES else _read_json(body)
    groups = [*alert.groups, *targets.groups]
    if targets.areas is not None and alert.info:
        ends = ends_of(alert, default_seconds=settings.default_expiry_seconds)
        groups += groups_of_areas(alert, in_force(ends, now) or range(len(ends)), targets.areas)
    groups = list(dict.fromkeys(groups))
    if len(groups) > GROUPS_MAX:
        message = f"has {len(groups)} groups, more than {GROUPS_MAX}; name a group that holds them"
        raise InputError(f"groups: {message} [6.1]", (("groups", "6.1", message),))
    if len(groups) > len(alert.groups):
        alert = alert.model_copy(update={"groups": tuple(groups)})
    found = check_document(alert, settings, actor=actor, now=now)
    return replace(found, warnings=(*remarks, *found.warnings))


def _read_xml(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    return read_cap(body)


def _read_json(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    try:
        return read_alert(body), ()
    except AlertInvalidError as error:
        raise InputError(str(error), error.problems) from None


def refusal(error: InputError) -> Problem:
    """The answer to an alert that cannot be read, or breaks a rule."""
    findings = error.findings
    if any(rule in _SYNTAX_RULES for _, rule, _ in findings):
        return Problem(HTTPStatus.BAD_REQUEST, "not-readable", str(error), findings=findings)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-alert", str(error), findings=findings)
