"""The body of a publication to an alert: media type, ceilings, CAP, and what can be refused without the directory."""

from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import structlog
from fastapi import Request

from broadcast.alerts.documents.area_tables import FILE_RULE
from broadcast.alerts.documents.document import Document, Submitted, read_document
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX, INLINE_GEOMETRY_UNITS, ReadingTurns
from broadcast.api.problems import Problem, unavailable
from broadcast.cap import UnfinishedError
from broadcast.errors import InputError
from broadcast.settings import Settings
from schemas.alert import ALERT_BYTES_MAX

XML_TYPES = frozenset({"application/cap+xml", "application/xml", "text/xml"})
JSON_TYPE = "application/json"

_SYNTAX_RULES = frozenset({"json", "xml"})

log = structlog.get_logger(__name__)


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


async def read_submitted(submitted: Submitted, *, turns: ReadingTurns, settings: Settings) -> Document:
    """The alert of a body, with its targets added. 400 for what is no XML or JSON, 422 for a broken rule."""
    size = len(submitted.body)
    try:
        if size <= INLINE_BYTES_MAX and submitted.targets.areas_file is None:
            # The sides of few points can take long to compare.
            with suppress(UnfinishedError):
                return read_document(submitted, settings, INLINE_GEOMETRY_UNITS)
        document = await turns.run(size, read_document, submitted, settings)
    except InputError as error:
        raise refusal(error) from error
    for warning in document.warnings:
        if warning.rule == FILE_RULE:
            log.error("areas_not_read", error=warning.message)
    return document


def areas_file_of(settings: Settings) -> Path:
    """The file of the table of areas; a 422 problem if none is set."""
    if settings.areas_file is None:
        message = "no table of areas is set; set BROADCAST_AREAS_FILE, or name groups"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no-areas", message, findings=[("by_area", "areas", message)])
    return settings.areas_file


def refusal(error: InputError) -> Problem:
    """The answer to an alert that cannot be read, or breaks a rule."""
    findings = error.findings
    if any(rule == FILE_RULE for _, rule, _ in findings):
        log.error("areas_not_read", error=str(error))
        return unavailable("areas", str(error))
    if any(rule in _SYNTAX_RULES for _, rule, _ in findings):
        return Problem(HTTPStatus.BAD_REQUEST, "not-readable", str(error), findings=findings)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-alert", str(error), findings=findings)
