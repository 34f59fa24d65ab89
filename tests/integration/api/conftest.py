"""The API over the real broker and the real database of one test."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from aiokafka.admin import NewTopic

from broadcast.api.server import serve
from broadcast.health import Health
from broadcast.kafka.clients import make_admin
from broadcast.keys import create_key
from broadcast.settings import Settings
from schemas.topics import Names
from tests.support.topics import Record, read_topic
from tests.support.waiting import eventually

READY_SECONDS = 20.0

NewAlert = Callable[..., dict[str, Any]]
Prepared = tuple[Settings, str]
"""Settings, and the token of a key."""


@dataclass
class Api:
    """A served API, with a client that has a key."""

    url: str
    http: httpx.AsyncClient
    settings: Settings
    token: str

    async def until_ready(self) -> None:
        async def ready() -> bool:
            return (await self.http.get("/readyz")).is_success

        await eventually(ready, "the API is ready", within_seconds=READY_SECONDS)

    async def records(self, topic: str) -> list[Record]:
        """Everything on the one partition of a topic, as it is committed now."""
        return await read_topic(self.settings, topic)

    @property
    def names(self) -> Names:
        return Names(self.settings.topic_prefix)


Served = Callable[..., AbstractAsyncContextManager[Api]]


def _alert(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "identifier": uuid4().hex,
        "sender": "flood@example.org",
        "sent": time.strftime("%Y-%m-%dT%H:%M:%S-00:00", time.gmtime()),
        "status": "Test",
        "msgType": "Alert",
        "scope": "Public",
        "groups": ["river"],
        "info": [
            {
                "category": ["Met"],
                "event": "Flood",
                "urgency": "Immediate",
                "severity": "Extreme",
                "certainty": "Likely",
            }
        ],
    }
    return content | changes


@pytest.fixture(autouse=True)
def _quiet() -> None:
    # The API logs in this process, and the commands' output is read as JSON here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture
def new_alert() -> NewAlert:
    """Makes a JSON alert of now, named as no other, with changes."""
    return _alert


@pytest.fixture
async def prepared(settings: Settings) -> Prepared:
    """Settings with both topics that the API writes, and a key."""
    names = Names(settings.topic_prefix)
    admin = make_admin(settings)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(names.alerts, 1, 1), NewTopic(names.control, 1, 1)])
    finally:
        await admin.close()
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        _, token = await create_key(connection, "anna")
    finally:
        await connection.close()
    return settings.model_copy(update={"api_port": 0}), token


@asynccontextmanager
async def _served(settings: Settings, token: str, **client: Any) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serve(settings, Health("api")) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=30, **client) as http,
    ):
        yield Api(url, http, settings, token)


@pytest.fixture
def served() -> Served:
    """Serves an API, not necessarily ready: `async with served(settings, token) as api`."""
    return _served


@pytest.fixture
async def api(prepared: Prepared) -> AsyncIterator[Api]:
    """A ready API."""
    async with _served(*prepared) as api:
        await api.until_ready()
        yield api
