"""What the tests of planner and expander share: a stage in this process, alerts, and reading topics."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg

from broadcast.health import Health
from broadcast.kafka.clients import make_producer
from broadcast.kafka.topics import create_topics
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from schemas.alert import alert_id_of, read_alert
from tests.support.topics import Record, read_topic
from tests.support.waiting import eventually, found_first

ROUTES = """
[[routes]]
name = "sim"
prefixes = ["+49"]
partitions = 3
delays_seconds = [1]
accounts = [{ name = "sim-a", host = "127.0.0.1", port = 2775, system_id = "a" }]
"""

BUDGET_SECONDS = 40.0

T = TypeVar("T")
Run = Callable[[Settings, Health, asyncio.Event], Coroutine[None, None, None]]


def alert_content(groups: list[str], **changes: Any) -> dict[str, Any]:
    """A CAP alert as JSON content, of now, in two languages."""
    now = datetime.now(UTC).replace(microsecond=0)
    expires = now + timedelta(seconds=changes.pop("lifetime_seconds", 3600))
    common = {
        "category": ["Met"],
        "event": "Flood",
        "urgency": changes.pop("urgency", "Immediate"),
        "severity": "Extreme",
        "certainty": "Observed",
        "expires": written(expires),
    }
    content = {
        "identifier": uuid4().hex,
        "sender": "warnings@example.org",
        "sent": written(now),
        "status": "Actual",
        "msgType": "Alert",
        "scope": "Public",
        "groups": groups,
        "info": [
            common | {"language": "en-GB", "headline": "Flood: leave the river"},
            common | {"language": "de-DE", "headline": "Hochwasser: Ufer verlassen"},
        ],
    }
    return content | changes


def written(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S-00:00")


def reference_of(content: dict[str, Any]) -> str:
    return f"{content['sender']},{content['identifier']},{content['sent']}"


def id_of(content: dict[str, Any]) -> UUID:
    return alert_id_of(read_alert(json.dumps(content)))


class Control:
    """A running stage of one test, and its surroundings."""

    def __init__(self, settings: Settings, connection: asyncpg.Connection) -> None:
        self.settings = settings
        self.prefix = settings.topic_prefix
        self.connection = connection

    async def put(
        self, topic: str, *values: bytes | dict[str, Any], key: bytes | None = None, timestamp_ms: int | None = None
    ) -> None:
        producer = make_producer(self.settings)
        await producer.start()
        try:
            for value in values:
                content = value if isinstance(value, bytes) else json.dumps(value, default=str).encode()
                await producer.send_and_wait(f"{self.prefix}{topic}", content, key=key, timestamp_ms=timestamp_ms)
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Record]:
        """Every committed record, up to the end as it is now."""
        return await read_topic(self.settings, f"{self.prefix}{topic}")

    async def row(self, alert_id: UUID) -> asyncpg.Record | None:
        return await self.connection.fetchrow("SELECT * FROM alerts WHERE alert_id = $1", alert_id)

    async def events(self, alert_id: UUID) -> list[str]:
        rows = await self.connection.fetch(
            "SELECT event FROM alert_events WHERE alert_id = $1 ORDER BY event_offset, event", alert_id
        )
        return [row["event"] for row in rows]

    async def until(self, what: Callable[[], Awaitable[T | None]], budget_seconds: float = BUDGET_SECONDS) -> T:
        """The first true answer."""
        return await found_first(what, within_seconds=budget_seconds)

    async def state(self, alert_id: UUID, *states: str) -> asyncpg.Record:
        """The row of an alert once it is in one of these states."""

        async def look() -> asyncpg.Record | None:
            row = await self.row(alert_id)
            return row if row is not None and row["state"] in states else None

        return await self.until(look)

    @asynccontextmanager
    async def running(self, run: Run, stage: str) -> AsyncIterator[Health]:
        """The stage, at work; its own failure is the test's."""
        health, stop = Health(stage), asyncio.Event()
        work = asyncio.create_task(run(self.settings, health, stop))
        try:
            await eventually(lambda: health.ready() or work.done(), within_seconds=BUDGET_SECONDS)
            yield health
        finally:
            stop.set()
            await asyncio.wait_for(work, BUDGET_SECONDS)


@asynccontextmanager
async def control(settings: Settings, **changes: Any) -> AsyncIterator[Control]:
    """Topics, routes and a connection for one test."""
    path = settings.data_dir / "routes.toml"
    path.write_text(ROUTES, encoding="utf-8")
    own = settings.model_copy(update={"routes_file": path, "expansion_partitions": 2, **changes})
    await create_topics(own, load_routes(own))
    connection = await asyncpg.connect(own.database_url.get_secret_value())
    try:
        yield Control(own, connection)
    finally:
        await connection.close()


async def add_recipients(connection: asyncpg.Connection, group: str, count: int, *, number: str = "+4915") -> None:
    """A group of `count` recipients, each third with German, each third with no language."""
    group_id = await connection.fetchval("INSERT INTO groups (name) VALUES ($1) RETURNING id", group)
    await connection.execute(
        """
        WITH made AS (
            INSERT INTO recipients (msisdn, language)
            SELECT $1::text || (10000000 + number), CASE mod(number, 3) WHEN 0 THEN 'de' WHEN 1 THEN 'en-GB' END
            FROM generate_series(1, $2::integer) AS number RETURNING id
        )
        INSERT INTO group_members (group_id, recipient_id) SELECT $3, id FROM made
        """,
        *(number, count, group_id),
    )
