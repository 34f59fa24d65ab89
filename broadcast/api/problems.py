"""Problem documents (RFC 9457): every answer that is not a success, in one form.

`findings` name what is wrong with the input: field (JSON path), rule (R1 to R22 and CAP's sections), message.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from broadcast.errors import BroadcastError, InputError
from schemas.wording import explain

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tocsin:problem:"

log = structlog.get_logger(__name__)

_FAULT = "a fault of ours; the log has it under this instance"


class FindingBody(BaseModel):
    """One thing that is wrong, or unwise, with what was sent."""

    field: str
    rule: str
    message: str


class ProblemBody(BaseModel):
    """A problem document (RFC 9457, section 3), with our findings."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    findings: list[FindingBody] = []


class Problem(Exception):
    """An answer that is a problem document. `slug` ends the problem's type, and one kind of fault keeps it."""

    def __init__(
        self,
        status: HTTPStatus,
        slug: str,
        detail: str,
        *,
        findings: Sequence[tuple[str, str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.detail = status, slug, detail
        self.findings, self.headers, self.members = findings, headers, members


def unavailable(what: str, detail: str, *, retry_after_seconds: int = 2, **members: Any) -> Problem:
    """Something we stand on is away: 503, and when to try again (RFC 9110, section 10.2.3).

    The member `unconfirmed` is true where the request may have been carried out all the same.
    """
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{what}-unavailable",
        detail,
        headers={"Retry-After": str(retry_after_seconds)},
        **members,
    )


def answer(request: Request, problem: Problem) -> JSONResponse:
    """The response of a problem."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.slug.replace("-", " ").capitalize(),
        "status": int(problem.status),
        "detail": problem.detail,
        "instance": f"urn:tocsin:request:{getattr(request.state, 'request_id', '')}",
        **problem.members,
    }
    if problem.findings:
        body["findings"] = [{"field": path, "rule": rule, "message": text} for path, rule, text in problem.findings]
    return JSONResponse(body, int(problem.status), dict(problem.headers or {}), MEDIA_TYPE)


def answer_fault(request: Request) -> JSONResponse:
    """The response of a fault of ours, which the log has under the same request id."""
    return answer(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", _FAULT))


def install(app: FastAPI) -> None:
    """Every exception that a route raises on purpose becomes a problem document; `Access` answers the others."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        problem = _problem_of(error)
        if problem.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_failed", exc_info=error)
        return answer(request, problem)

    for kind in (Problem, BroadcastError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, on_problem)


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case InputError():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", str(error), findings=error.findings)
        case BroadcastError() if error.retryable:
            return unavailable("service", str(error))
        case RequestValidationError():
            findings = [
                (".".join(map(str, fault["loc"])), fault["type"], "; ".join(explain(fault) or (fault["msg"],)))
                for fault in error.errors()
            ]
            first = "; ".join(f"{field}: {message}" for field, _, message in findings)
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", first, findings=findings)
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return Problem(status, status.phrase.lower().replace(" ", "-"), str(error.detail), headers=error.headers)
        case _:
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", _FAULT)
