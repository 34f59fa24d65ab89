"""Around every request: a request id, one log line, one count and one duration. No number, no query string, no key.

And who calls, before anything of the body is read; and ceilings for the body, whoever reads it.
"""

import asyncio
import re
import time
from http import HTTPStatus
from uuid import uuid4

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broadcast import metrics
from broadcast.api.authorization import PREFIX, WITHOUT_KEY, authenticate
from broadcast.api.connections import (
    AnonymousRequests,
    BoundedProtocol,
    KeyedRequests,
    Kind,
    RequestsInWork,
    TooManyRequestsError,
)
from broadcast.api.problems import Problem, answer_fault
from broadcast.api.problems import answer as answer_problem
from broadcast.api.services import Services

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STOP = re.compile(r"/v1/alerts/[^/]+/cancel")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

BODY_BYTES_MAX = 1_048_576
"""Twice what an alert may have, which says so itself, with its rule."""

BODY_SECONDS = 30.0
"""For the whole body: a caller that is slower holds memory and a connection for nothing."""

STOP_BODY_SECONDS = 5.0
"""For the body of a stop, which is short: stops need no place, so that none may stay long."""

RETRY_AFTER_SECONDS = 2
"""For who is told that too many requests are in work."""

_BUSY: tuple[Message, ...] = (
    {
        "type": "http.response.start",
        "status": int(HTTPStatus.SERVICE_UNAVAILABLE),
        "headers": [
            (b"content-length", b"0"),
            (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
            (b"connection", b"close"),
        ],
    },
    {"type": "http.response.body", "body": b""},
)
"""For a request without a valid key, where too many of them wait: made once, because it must cost nothing."""

REFUSALS_LOGGED = 10
"""Log lines for refused keys in one second."""

log = structlog.get_logger(__name__)


class Access:
    """ASGI middleware. The request id is the caller's `X-Request-Id` if that is a plain word, else a new one."""

    def __init__(
        self, app: ASGIApp, services: Services, in_work: RequestsInWork, body_seconds: float = BODY_SECONDS
    ) -> None:
        self.app = app
        self._in_work = in_work
        self._anonymous = AnonymousRequests()
        self._keyed = KeyedRequests()
        self._services = services
        self._refusals = Refusals()
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: a stop with a valid key at once, others in their turn. Errors are answered with 500."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        state = scope.setdefault("state", {})
        connection: BoundedProtocol | None = state.get("connection")
        refusal: Problem | None = None
        if scope["path"].startswith(PREFIX) and scope["path"] not in WITHOUT_KEY:
            try:
                state["actor"] = await authenticate(
                    self._services, headers.get(b"authorization", b"").decode("latin-1")
                )
            except Problem as problem:
                refusal = problem
        if "actor" in state:
            if connection is not None:
                connection.keep()
            await self._serve(scope, headers, receive, send, None)
            return
        answer: list[Message] = []

        async def collect(message: Message) -> None:
            answer.append(message)

        async with self._anonymous.turn((scope.get("client") or ("",))[0]) as has_turn:
            if not has_turn:
                answer.extend(_BUSY)
                metrics.http_requests.labels("other", "(none)", str(int(HTTPStatus.SERVICE_UNAVAILABLE))).inc()
            elif connection is None or not connection.gone():
                await self._serve(scope, headers, receive, collect, refusal)
        # After the turn: a client that does not read would keep all others waiting.
        for message in answer:
            await send(message)

    async def _serve(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, refusal: Problem | None
    ) -> None:
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        state = scope["state"]
        state["request_id"] = request_id
        began = time.perf_counter()
        code: int | None = None

        async def answer(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        stop = scope["method"] == "POST" and _STOP.fullmatch(scope["path"]) is not None
        read = _limit(receive, min(self._body_seconds, STOP_BODY_SECONDS) if stop else self._body_seconds)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                if refusal is not None:
                    raise refusal
                if "actor" not in state:
                    await self.app(scope, read, answer)
                    return
                with self._in_work.enter(state["actor"], (scope.get("client") or ("",))[0], stop=stop):
                    await (self.app if stop else self._serve_in_turn)(scope, read, answer)
            except TooManyRequestsError as error:
                await answer_problem(Request(scope), _too_many(error))(scope, receive, answer)
            except Problem as problem:
                await answer_problem(Request(scope), problem)(scope, receive, answer)
            except ClientDisconnect:
                # There is nobody to answer, and nothing of ours has failed.
                code = None
            except Exception:
                log.exception("request_failed")
                if code is None:
                    await answer_fault(Request(scope))(scope, receive, answer)
            finally:
                quiet = code == HTTPStatus.UNAUTHORIZED and not self._refusals.may_log(began)
                _account(scope, code or 499, time.perf_counter() - began, quiet=quiet)

    async def _serve_in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        connection: BoundedProtocol | None = state.get("connection")
        kind = Kind.ALERT if scope["method"] == "POST" else Kind.READ
        async with self._keyed.turn((state["actor"], kind)) as turn:
            if connection is not None and connection.gone():
                raise ClientDisconnect
            await turn.run(self.app(scope, receive, send))


def _too_many(error: TooManyRequestsError) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        f"{error}, and the rest is kept for stops; send it again in {RETRY_AFTER_SECONDS} s",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS), "Connection": "close"},
    )


class Refusals:
    """Which refused keys get a log line: a flood of them must not cost one each."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def may_log(self, now: float) -> bool:
        """Whether this one gets a line. How many had none is logged in the next second with one."""
        if int(now) != self._second:
            if self._count > REFUSALS_LOGGED:
                log.warning("keys_refused", count=self._count, not_logged=self._count - REFUSALS_LOGGED)
            self._second, self._count = int(now), 0
        self._count += 1
        return self._count <= REFUSALS_LOGGED


def _limit(receive: Receive, body_seconds: float) -> Receive:
    """The same, with an end to bytes (413) and to time (408) until the body is there."""
    size = 0
    deadline: float | None = asyncio.get_running_loop().time() + body_seconds

    async def read() -> Message:
        nonlocal size, deadline
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body was not there within {body_seconds:g} s; send it again",
                {"Connection": "close"},
            ) from None
        size += len(message.get("body", b""))
        if size > BODY_BYTES_MAX:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body has {size} bytes or more; the most is {BODY_BYTES_MAX}",
                {"Connection": "close"},
            )
        if not message.get("more_body"):
            # What follows is the end of the connection, and may take as long as the answer does.
            deadline = None
        return message

    return read


def _account(scope: Scope, code: int, seconds: float, *, quiet: bool = False) -> None:
    # The route's template, not the path: paths are unbounded and may hold anything.
    route = getattr(scope.get("route"), "path", "(none)")
    method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other"
    metrics.http_requests.labels(method, route, str(code)).inc()
    metrics.http_request_duration.labels(method, route).observe(seconds)
    if quiet or route in _QUIET:
        return
    state = scope["state"]
    fields = {name: str(state[name]) for name in ("actor", "alert_id") if name in state}
    log.info("request_answered", method=method, route=route, code=code, milliseconds=round(seconds * 1000, 1), **fields)
