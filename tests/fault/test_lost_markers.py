"""Kafka is killed in the milliseconds between the last commit of a broadcast and its markers, and forgets these."""

import asyncio
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from broadcast.clock import monotonic
from broadcast.embedded.servers.kafka import Kafka
from broadcast.kafka.clients import make_consumer
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.relay import Relay
from tests.fault.system import IN_DOUBT_LIMIT, ROUTE, WINDOW, SystemOptions, SystemUnderTest
from tests.support.markers import is_ending, restart_without_markers, send_markers_through

AUDIENCE = WINDOW
"""All of them are on the wire at once."""
QUIET_SECONDS = 0.2
"""The beats that say that they are on the wire are over."""
TRIES = 5
SYSTEM = SystemOptions(name="lost markers", block=AUDIENCE)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.long
async def test_markers_lost_at_the_end_of_a_broadcast_hide_nothing(system: SystemUnderTest) -> None:
    """Nobody writes to those partitions any more, so only who takes the sender's id over can bring them to light."""
    began_at = monotonic()
    kafka, sender = system.stack.kafka, system.stack.stage("sender")
    assert kafka is not None
    owner = f"{system.names.prefix}sender.{ROUTE}.1"
    async with Relay() as relay:
        await kafka.stop()
        relay.target = send_markers_through(kafka, relay.port)
        await kafka.start()
        await system.begin(AUDIENCE * TRIES)
        restarts = sender.restarts
        alerts = await publish_until_hidden(system, kafka, relay, owner)
        await restart_without_markers(kafka, [owner])
        await relay.restore()
        back_at = monotonic()
        await wait_final(system, alerts, budget_seconds=60)
        final_in = monotonic() - back_at

    ends = sender.restarts - restarts
    entry = report.Entry(
        test="Kafka killed before the last markers",
        kills=1,
        hits=1,
        allowed=IN_DOUBT_LIMIT * ends,
        seconds=monotonic() - began_at,
        note=f"everything shown {final_in:.1f} s after, the sender ended {ends} times",
    )
    await report.conclude(system, alerts, entry)
    assert "markers_written" in system.log_of("sender")


async def publish_until_hidden(system: SystemUnderTest, kafka: Kafka, relay: Relay, owner: str) -> list[UUID]:
    """Broadcasts, the last of which has a beat that was answered and whose statuses no reader sees."""
    alerts = []
    for _ in range(TRIES):
        await system.simulator("/behaviour", {"pause_answers": True})
        wanted = await system.submits() + AUDIENCE
        alerts.append(await system.publish(system.alert(AUDIENCE, Lane.PRIORITY)))

        async def all_taken(wanted: int = wanted) -> bool:
            return await system.submits() >= wanted

        await system.until("the last submit", all_taken, budget_seconds=30)
        await asyncio.sleep(QUIET_SECONDS)
        await relay.cut()
        await system.simulator("/behaviour", {"pause_answers": False})
        await system.until("a beat without markers", lambda: is_ending(kafka, [owner]), budget_seconds=4)
        if await is_hidden(system):
            return alerts
        # It was one without statuses, or only the answer to its markers was lost.
        await relay.restore()
    raise AssertionError(f"no beat lacks markers after {TRIES} broadcasts")


async def is_hidden(system: SystemUnderTest) -> bool:
    """True if statuses are written that readers of committed records do not see."""
    partitions = [TopicPartition(system.names.statuses, number) for number in range(system.settings.status_partitions)]
    async with (
        make_consumer(system.settings) as committed,
        make_consumer(system.settings, isolation_level="read_uncommitted") as everything,
    ):
        readable: dict[TopicPartition, int] = await committed.end_offsets(partitions)
        written: dict[TopicPartition, int] = await everything.end_offsets(partitions)
        return readable != written
