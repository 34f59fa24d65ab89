"""The order of a sender's stop: stop taking, finish the window, beat, unbind."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broadcast.embedded.servers.kafka import Kafka
from broadcast.sending.accounts.binds import UNBIND_SECONDS
from broadcast.sending.takeover import DRAIN_SECONDS
from broadcast.settings import Settings
from tests.support.sender_setup import RouteUnderTest, open_route
from tests.support.waiting import remains

HELD_SECONDS = 1.0
"""So long the last beat is held up: well within the lease."""


@pytest.fixture
async def route(kafka_settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    async with open_route(kafka_settings, tmp_path) as opened:
        yield opened


async def test_the_last_beat_comes_before_the_unbind(route: RouteUnderTest, kafka_broker: Kafka) -> None:
    """While Kafka does not answer the last beat, the sender stays bound."""
    assert UNBIND_SECONDS < DRAIN_SECONDS
    alert = await route.publish()
    await route.put_jobs(alert, range(1, 101))
    sender = await route.start_sender()
    await route.wait_for(range(1, 101), alert)

    async def is_bound() -> bool:
        return bool((await route.simulator.stats())["binds_now"] == 1)

    kafka_broker.process.kill(signal.SIGSTOP)
    try:
        sender.send(signal.SIGTERM)
        await remains(is_bound, "it is bound until its last beat is committed", for_seconds=HELD_SECONDS)
        assert sender.process.returncode is None
    finally:
        kafka_broker.process.kill(signal.SIGCONT)
    assert await sender.end() == 0
    assert not await is_bound()
    assert {position.owner for position in (await route.positions()).values()} == {""}
