"""The simulator on a free port of this process's loop, with a client that keeps every outcome."""

from collections.abc import AsyncIterator

import pytest

from broadcast.smsc.server import SmscConfig
from tests.support.smpp import RecordingClient, StartClient, start_client


@pytest.fixture
async def start() -> AsyncIterator[StartClient]:
    """Starts a simulator with a behaviour (and seed, system_id, password, tls...); returns a client for it."""
    clients: list[RecordingClient] = []

    async def begin(
        config: SmscConfig | None = None, *, port: int | None = None, **behaviour: object
    ) -> RecordingClient:
        clients.append(await start_client(config, behaviour, port))
        return clients[-1]

    yield begin
    for client in clients:
        await client.close()
