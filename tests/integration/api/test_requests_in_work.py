"""A stop gets in, also where callers with keys have as many requests in work as they may."""

import asyncio
import json
from functools import partial
from uuid import uuid4

import asyncpg

from broadcast.api.connections.requests_in_work import KEPT_SHARE, PER_KEY_SHARE
from broadcast.keys import create_key
from tests.support.waiting import eventually

from .conftest import NewAlert, Prepared, Served

CONNECTIONS = 32
KEYS = PER_KEY_SHARE + 1
WITHIN_SECONDS = 20.0
STOP_SECONDS = 5.0


def head(path: str, token: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def test_a_stop_gets_in_while_uploads_with_many_keys_take_all_connections_they_may(
    prepared: Prepared, served: Served, new_alert: NewAlert
) -> None:
    settings, token = prepared
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    tokens = [(await create_key(connection, f"key-{number}"))[1] for number in range(KEYS)]
    await connection.close()
    limits = {"api_connections": CONNECTIONS, "api_connections_per_address": CONNECTIONS}
    async with served(settings.model_copy(update=limits), token) as api:
        await api.until_ready()
        accepted = await api.http.post("/v1/alerts", json=new_alert())
        port = int(api.url.rpartition(":")[2])
        statuses: list[bytes] = []

        async def upload(of: str) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                # The body never comes: it is in work for as long as a body may take.
                writer.write(head("/v1/alerts", of, 100_000))
                statuses.append((await reader.readline())[9:12])
            finally:
                writer.close()

        async def is_known(one: str) -> bool:
            return (await api.http.get("/v1/groups", headers={"Authorization": f"Bearer {one}"})).is_success

        # A connection whose key is yet to be looked up may be closed for a newer one.
        for one in tokens:
            await eventually(partial(is_known, one), "the key is known", within_seconds=WITHIN_SECONDS)
        uploads: list[asyncio.Task[None]] = []
        for one in tokens * (CONNECTIONS // PER_KEY_SHARE + 2):
            uploads.append(asyncio.create_task(upload(one)))
            # By the answer to a stop, which takes no place, the head of the upload is read: more at once than there are
            # connections would push one another out.
            assert (await api.http.post(f"/v1/alerts/{uuid4()}/cancel", json={"reason": "over"})).status_code == 404
        kept = CONNECTIONS // KEPT_SHARE
        refused = len(uploads) - (CONNECTIONS - kept)
        await eventually(lambda: len(statuses) >= refused, "more uploads are refused", within_seconds=WITHIN_SECONDS)

        body = json.dumps({"reason": "over"}).encode()
        for path, status in ((accepted.json()["links"]["cancel"], b"202"), (f"/v1/alerts/{uuid4()}/cancel", b"404")):
            async with asyncio.timeout(STOP_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head(path, token, len(body)) + body)
                assert (await reader.readline())[9:12] == status
                writer.close()
        assert statuses == [b"429"] * refused
        for task in uploads:
            task.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)

        async def accepts() -> bool:
            return (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202

        await eventually(accepts, "their places are free again", within_seconds=WITHIN_SECONDS)
