"""Nothing is done for who has gone while the request waited, and metrics are not written for each who asks."""

from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from broadcast.api.access import Access
from broadcast.api.app import make_app
from broadcast.api.connections import ConnectionLimits, RequestsInWork
from broadcast.api.services import Services
from broadcast.health import Health, http_server
from broadcast.settings import Settings

KEYRING = SimpleNamespace(knows=lambda _: True, loaded=True, owner_of=lambda _: "anna")


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/alerts"), ("POST", "/v1/alerts"), ("GET", "/healthz")], ids=str
)
async def test_who_has_gone_is_not_served(method: str, path: str, *, gone: bool) -> None:
    served: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        served.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    connection = SimpleNamespace(gone=lambda: gone, keep=lambda: None)
    access = Access(app, cast("Services", SimpleNamespace(keyring=KEYRING)), RequestsInWork(ConnectionLimits(32, 16)))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"authorization", b"Bearer key")],
        "client": ("192.0.2.1", 1),
        "state": {"connection": connection},
    }
    await access(scope, receive, send)
    assert (served, bool(sent)) == (([], False) if gone else ([path], True))


async def test_metrics_of_the_api_are_written_once_for_all_who_ask_within_their_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "METRICS_SECONDS", 3600.0)
    written: list[None] = []
    health = Health("api")
    health.shows.append(lambda: written.append(None))
    app = make_app(cast("Services", SimpleNamespace(keyring=KEYRING, settings=Settings(), health=health)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        first, second = [await http.get("/metrics") for _ in range(2)]
    assert (first.status_code, first.text, len(written)) == (200, second.text, 1)
