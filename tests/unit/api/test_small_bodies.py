"""Bodies that are read on the API's loop: the dearest of them take a few milliseconds, or are refused by a limit."""

import json
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from broadcast.api import problems
from broadcast.api.access import BODY_BYTES_MAX
from broadcast.api.authorization import authorize
from broadcast.api.routes import alerts, trial_messages
from broadcast.api.routes.strict_json import SMALL_BYTES_MAX, SMALL_VALUES_MAX
from broadcast.api.services import services_of

CPU_SECONDS = 0.02
"""Four times what is measured where nothing else runs."""

PATHS = (f"/v1/alerts/{UUID(int=1)}/cancel", "/v1/test-messages")


async def anna() -> str:
    return "anna"


async def nothing() -> Any:
    return SimpleNamespace()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    made = FastAPI()
    problems.install(made)
    for router in (alerts.router, trial_messages.router):
        made.include_router(router)
    made.dependency_overrides |= {authorize: anna, services_of: nothing}
    return made


async def post(app: FastAPI, path: str, body: bytes) -> tuple[int, str, float]:
    """Status and text of the answer, and the seconds of processor time that it took."""
    sent: list[MutableMapping[str, Any]] = []
    pieces = [body[place : place + 65_536] for place in range(0, len(body), 65_536)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "state": {"actor": "anna"},
    }
    began = time.thread_time()
    await app(scope, receive, send)
    seconds = time.thread_time() - began
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent).decode(), seconds


def fields(count: int) -> bytes:
    return json.dumps({f"{number:x}": 1 for number in range(count)}, separators=(",", ":")).encode()


DEAREST = {
    "as many unknown fields as the ceiling takes": (fields(BODY_BYTES_MAX // 13), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    "as many members": (
        b'{"reason":[' + b"1," * (BODY_BYTES_MAX // 2 - 10) + b"1]}",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ),
    "fields within the bytes": (fields(SMALL_BYTES_MAX // 10), HTTPStatus.BAD_REQUEST),
    "members within the bytes": (b"[" * (SMALL_BYTES_MAX - 1), HTTPStatus.BAD_REQUEST),
    "fields within both limits": (fields(SMALL_VALUES_MAX - 1), HTTPStatus.UNPROCESSABLE_ENTITY),
    "long names": (json.dumps({f"{n}" * 500: 1 for n in range(30)}).encode(), HTTPStatus.UNPROCESSABLE_ENTITY),
    "a long text": (json.dumps({"reason": "\U0001f600" * 2_700}).encode(), HTTPStatus.UNPROCESSABLE_ENTITY),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("body", "status"), DEAREST.values(), ids=DEAREST)
async def test_the_dearest_body_delays_the_loop_little(app: FastAPI, path: str, body: bytes, status: int) -> None:
    assert len(body) <= BODY_BYTES_MAX
    await post(app, path, b"{}") if path.endswith("messages") else await post(app, path, b'{"reason":1}')
    found, text, seconds = await post(app, path, body)
    assert found == status, text[:200]
    assert seconds < CPU_SECONDS
    assert len(text) < 3 * SMALL_BYTES_MAX
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        assert f"the most is {SMALL_BYTES_MAX}" in text
