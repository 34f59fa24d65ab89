"""The simulator on a free port of this process's loop, with a client that keeps every outcome."""

from collections.abc import AsyncIterator

import pytest

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.profile.reading import read_profile
from broadcast.smsc.server import SmscConfig, SmscServer
from tests.support.raw_smpp import Started, StartProfile
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


@pytest.fixture
async def play() -> AsyncIterator[StartProfile]:
    """Starts a simulator with the profile of a TOML text."""
    played: list[Started] = []

    async def begin(toml: str) -> Started:
        config = SmscConfig(profile=read_profile(toml, "profile.toml"), first_number=1)
        played.append(Started(await SmscServer.start(config, Behaviour())))
        return played[-1]

    yield begin
    for each in played:
        await each.stop()
