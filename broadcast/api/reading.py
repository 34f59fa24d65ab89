"""The body of a publication to an alert: media type, ceilings, CAP, and what can be refused without the directory."""

import asyncio
from datetime import datetime
from http import HTTPStatus

from fastapi import Request

from broadcast.alerts.assessment import assess, read_content
from broadcast.api.problems import Problem
from broadcast.cap import Finding, read_cap, require_valid
from broadcast.errors import InputError
from broadcast.settings import Settings
from schemas.alert import ALERT_BYTES_MAX, Alert, AlertInvalidError, read_alert

XML_TYPES = frozenset({"application/cap+xml", "application/xml", "text/xml"})
JSON_TYPE = "application/json"

INLINE_BYTES_MAX = 32_768
"""Larger bodies are read in a thread, so that a polygon of a thousand points delays no other request."""

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


async def read(body: bytes, media_type: str) -> tuple[Alert, tuple[Finding, ...]]:
    """The alert of a body and the warnings of reading it. 400 for what is not XML or JSON, 422 for a broken rule."""
    work = _read_xml if media_type in XML_TYPES else _read_json
    try:
        return work(body) if len(body) <= INLINE_BYTES_MAX else await asyncio.to_thread(work, body)
    except InputError as error:
        raise _refusal(error) from error


async def check_rules(alert: Alert) -> tuple[Finding, ...]:
    """The warnings on an alert; a 422 problem if it breaks a rule of CAP's."""
    drawn = any(area.polygon for info in alert.info for area in info.area)
    try:
        return await asyncio.to_thread(require_valid, alert) if drawn else require_valid(alert)
    except InputError as error:
        raise _refusal(error) from error


def check_purpose(alert: Alert, settings: Settings, now: datetime) -> None:
    """A 422 problem if an alert cannot reach anyone or stop anything, whatever the directory holds."""
    error = assess(alert, read_content(alert, settings, now=now), now=now).error
    if error is not None:
        raise _refusal(error) from error


def _read_xml(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    return read_cap(body)


def _read_json(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    try:
        return read_alert(body), ()
    except AlertInvalidError as error:
        raise InputError(str(error), error.problems) from None


def _refusal(error: InputError) -> Problem:
    findings = error.findings
    if any(rule in _SYNTAX_RULES for _, rule, _ in findings):
        return Problem(HTTPStatus.BAD_REQUEST, "not-readable", str(error), findings=findings)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-alert", str(error), findings=findings)
