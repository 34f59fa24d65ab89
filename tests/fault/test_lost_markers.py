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
from tests.fault.accounting import draw_up, wait_final
from tests.fault.harness import IN_DOUBT_LIMIT, ROUTE, WINDOW, Scene, SceneOptions
from tests.fault.relay import Relay
from tests.support.markers import is_ending, restart_without_markers, send_markers_through

AUDIENCE = WINDOW
"""All of them are on the wire at once."""
QUIET_SECONDS = 0.2
"""The beats that say that they are on the wire are over."""
TRIES = 5
SCENE = SceneOptions(name="lost markers", recipients=AUDIENCE * TRIES, block=AUDIENCE)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.long
async def test_markers_lost_at_the_end_of_a_broadcast_hide_nothing(scene: Scene) -> None:
    """Nobody writes to those partitions any more, so only who takes the sender's id over can bring them to light."""
    began_at = monotonic()
    kafka, sender = scene.stack.kafka, scene.stack.stage("sender")
    assert kafka is not None
    owner = f"{scene.names.prefix}sender.{ROUTE}.1"
    async with Relay() as relay:
        await kafka.stop()
        relay.target = send_markers_through(kafka, relay.port)
        await kafka.start()
        await scene.ready()
        restarts = sender.restarts
        alerts = await publish_until_hidden(scene, kafka, relay, owner)
        await restart_without_markers(kafka, [owner])
        await relay.restore()
        back_at = monotonic()
        await wait_final(scene, alerts, budget_seconds=60)
        final_in = monotonic() - back_at

    account = await draw_up(scene, alerts)
    ends = sender.restarts - restarts
    entry = report.Entry(
        test="Kafka killed before the last markers",
        kills=1,
        hits=1,
        allowed=IN_DOUBT_LIMIT * ends,
        seconds=monotonic() - began_at,
        note=f"everything shown {final_in:.1f} s after, the sender ended {ends} times",
    )
    report.add(entry, account)
    account.check(duplicates_at_most=IN_DOUBT_LIMIT * ends)
    assert "markers_written" in scene.log_of("sender")


async def publish_until_hidden(scene: Scene, kafka: Kafka, relay: Relay, owner: str) -> list[UUID]:
    """Broadcasts, the last of which has a beat that was answered and whose statuses no reader sees."""
    alerts = []
    for _ in range(TRIES):
        await scene.simulator("/behaviour", {"pause_answers": True})
        wanted = await scene.submits() + AUDIENCE
        alerts.append(await scene.publish(scene.alert(AUDIENCE, Lane.PRIORITY)))

        async def all_taken(wanted: int = wanted) -> bool:
            return await scene.submits() >= wanted

        await scene.until("the last submit", all_taken, budget_seconds=30)
        await asyncio.sleep(QUIET_SECONDS)
        await relay.cut()
        await scene.simulator("/behaviour", {"pause_answers": False})
        await scene.until("a beat without markers", lambda: is_ending(kafka, [owner]), budget_seconds=4)
        if await is_hidden(scene):
            return alerts
        # It was one without statuses, or only the answer to its markers was lost.
        await relay.restore()
    raise AssertionError(f"no beat lacks markers after {TRIES} broadcasts")


async def is_hidden(scene: Scene) -> bool:
    """True if statuses are written that readers of committed records do not see."""
    partitions = [TopicPartition(scene.names.statuses, number) for number in range(scene.settings.status_partitions)]
    async with (
        make_consumer(scene.settings) as committed,
        make_consumer(scene.settings, isolation_level="read_uncommitted") as everything,
    ):
        readable: dict[TopicPartition, int] = await committed.end_offsets(partitions)
        written: dict[TopicPartition, int] = await everything.end_offsets(partitions)
        return readable != written
