"""Each rule of the sender's protocol under the fault that it is for (`docs/sender.md`)."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broadcast.embedded.servers.kafka import Kafka
from broadcast.errors import FENCED_EXIT_CODE, LEASE_EXIT_CODE
from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome, Status
from tests.support.sender_setup import Process, Scene, stage

IN_DOUBT = 400
SESSION_SECONDS = 6.0
"""The least that the broker allows."""


@pytest.fixture
async def scene(kafka_settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    async with stage(kafka_settings, tmp_path, account="window = 200") as built:
        await built.simulator.behave(delay_ms=60)
        yield built


async def start(scene: Scene, slot: str = "a") -> Process:
    return await scene.start_sender(slot, in_doubt_limit=IN_DOUBT, session_timeout_seconds=SESSION_SECONDS)


async def send_out(scene: Scene, count: int, lane: Lane = Lane.ROUTINE) -> tuple[str, range]:
    alert = await scene.publish(lane=lane)
    recipients = range(1, count + 1)
    await scene.put_jobs(alert, recipients, lane=lane)
    return alert, recipients


def marks(found: dict[int, list[Status]]) -> int:
    return sum(status.possible_duplicate for statuses in found.values() for status in statuses)


async def test_kill_9_again_and_again_loses_nobody_and_marks_every_copy(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 12_000)
    chosen = random.Random(4)
    kills = 0
    for goal in (600, 2_500, 4_500, 6_500, 8_500):
        sender = await start(scene)
        await scene.until_submitted(goal + chosen.randint(0, 300))
        await sender.kill()
        kills += 1
    await start(scene)
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    doubled = await scene.check(found, doubled_at_most=kills * IN_DOUBT)
    assert doubled > 0, "no kill hit a sender with anything in doubt"


async def test_a_second_crash_during_recovery_keeps_the_horizon_that_was_found(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 4_000)
    sender = await start(scene)
    await scene.until_submitted(1_500)
    await sender.kill()
    # So slow that the second one is killed when it has sent again but a few of what the first had in doubt.
    await scene.simulator.behave(delay_ms=4_000)
    before = (await scene.simulator.stats())["submits"]
    sender = await start(scene)
    await scene.until_submitted(before + 1)
    await asyncio.sleep(1.0)
    await sender.kill()
    await scene.simulator.behave(delay_ms=10)
    await start(scene)
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    assert await scene.check(found, doubled_at_most=2 * IN_DOUBT) > 0


async def test_a_second_sender_in_the_slot_fences_the_first_which_ends_itself(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 5_000)
    first = await start(scene)
    await scene.until_submitted(800)
    await start(scene)
    assert await first.end() == FENCED_EXIT_CODE
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    await scene.check(found, doubled_at_most=IN_DOUBT)


async def test_partitions_of_a_dead_owner_move_to_another_slot_which_marks_what_it_may_have_sent(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 6_000)
    first = await start(scene, "a")
    await scene.until_submitted(800)
    await first.kill()
    second = await start(scene, "b")
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    assert await scene.check(found, doubled_at_most=IN_DOUBT) > 0
    assert "owner_fenced" in second.text()


async def test_a_frozen_sender_whose_partitions_moved_ends_itself_when_it_wakes(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 6_000)
    first = await start(scene, "a")
    await scene.until_submitted(800)
    first.send(signal.SIGSTOP)
    await start(scene, "b")
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    before = (await scene.simulator.stats())["submits"]
    first.send(signal.SIGCONT)
    assert await first.end() in {LEASE_EXIT_CODE, FENCED_EXIT_CODE}
    await asyncio.sleep(1)
    assert (await scene.simulator.stats())["submits"] == before, "it wrote after it woke"
    await scene.check(found, doubled_at_most=IN_DOUBT)


async def test_a_frozen_sender_that_was_replaced_in_its_slot_ends_itself_when_it_wakes(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 6_000)
    first = await start(scene, "a")
    await scene.until_submitted(800)
    first.send(signal.SIGSTOP)
    await start(scene, "a")
    await scene.until_submitted(2_000)
    await asyncio.sleep(SESSION_SECONDS / 2)
    first.send(signal.SIGCONT)
    assert await first.end() in {LEASE_EXIT_CODE, FENCED_EXIT_CODE}
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    await scene.check(found, doubled_at_most=IN_DOUBT)


async def test_a_sender_frozen_past_its_lease_and_not_replaced_writes_nothing_more(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 3_000)
    first = await start(scene)
    await scene.until_submitted(800)
    first.send(signal.SIGSTOP)
    await asyncio.sleep(SESSION_SECONDS / 2 + 0.5)
    before = (await scene.simulator.stats())["submits"]
    first.send(signal.SIGCONT)
    assert await first.end() == LEASE_EXIT_CODE
    # What it had handed to TCP before it froze may still arrive.
    assert (await scene.simulator.stats())["submits"] - before <= 200
    await start(scene)
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    await scene.check(found, doubled_at_most=IN_DOUBT)


async def test_a_living_owner_hands_partitions_over_without_a_copy_or_a_mark(scene: Scene) -> None:
    await scene.simulator.behave(delay_ms=200)
    alert, recipients = await send_out(scene, 12_000)
    first = await start(scene, "a")
    await scene.until_submitted(800)
    second = await start(scene, "b")
    await scene.until_owned("a", "b")
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    assert await scene.check(found, doubled_at_most=0) == 0
    assert marks(found) == 0
    assert first.process.returncode is second.process.returncode is None
    binds = (await scene.simulator.stats())["binds"]
    assert sum(bind["submits"] > 0 for bind in binds) == 2, "both have sent"


async def test_a_broker_that_is_away_longer_than_the_lease_ends_the_sender_and_loses_nobody(
    scene: Scene, kafka_broker: Kafka
) -> None:
    alert, recipients = await send_out(scene, 5_000)
    first = await start(scene)
    await scene.until_submitted(800)
    await kafka_broker.kill9()
    try:
        assert await first.end() == LEASE_EXIT_CODE
        replacement = await start(scene)
        await asyncio.sleep(1)
        assert replacement.process.returncode is None, "it waits for the broker"
    finally:
        await kafka_broker.start()
    found = await scene.wait_for(recipients, alert, timeout_seconds=90)
    await scene.check(found, doubled_at_most=IN_DOUBT)


async def test_a_stop_is_obeyed_within_a_second_and_the_rest_is_cancelled(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 8_000)
    await start(scene)
    await scene.until_submitted(800)
    await scene.cancel(alert)
    stopped_at = asyncio.get_running_loop().time()
    await asyncio.sleep(1.0)
    escaped = (await scene.simulator.stats())["submits"]
    found = await scene.wait_for(recipients, alert, timeout_seconds=60)
    assert (await scene.simulator.stats())["submits"] == escaped < 8_000, stopped_at
    outcomes = [status.outcome for statuses in found.values() for status in statuses]
    assert outcomes.count(Outcome.ACCEPTED) == escaped
    assert outcomes.count(Outcome.CANCELLED) == 8_000 - escaped


async def test_an_smsc_that_goes_away_is_waited_for_and_what_expires_meanwhile_is_expired(scene: Scene) -> None:
    alert, recipients = await send_out(scene, 4_000)
    short = await scene.publish(seconds=6)
    await scene.put_jobs(short, range(5_001, 5_011), lane=Lane.IMMEDIATE)
    sender = await start(scene)
    await scene.until_submitted(800)
    # Silent before it is gone, so that the link is lost with submits unanswered and not between two batches.
    scene.simulator.process.send(signal.SIGSTOP)
    await asyncio.sleep(0.3)
    await scene.simulator.process.kill()
    late = await scene.publish(seconds=1, lane=Lane.IMMEDIATE)
    await scene.put_jobs(late, range(6_001, 6_011), lane=Lane.IMMEDIATE)
    expired = await scene.wait_for(range(6_001, 6_011), late, timeout_seconds=20)
    assert {s.outcome for statuses in expired.values() for s in statuses} == {Outcome.EXPIRED}
    await scene.restart_simulator()
    found = await scene.wait_for(recipients, alert, timeout_seconds=60)
    assert sender.process.returncode is None
    outcomes = [status.outcome for statuses in found.values() for status in statuses]
    # The routine lane holds what was unanswered when the link was lost.
    assert outcomes.count(Outcome.ACCEPTED) + outcomes.count(Outcome.UNKNOWN) == 4_000
    assert 0 < outcomes.count(Outcome.UNKNOWN) <= 200


async def test_an_urgent_alert_overtakes_a_backlog(scene: Scene) -> None:
    alert, _ = await send_out(scene, 20_000)
    await start(scene)
    await scene.until_submitted(1_000)
    urgent = await scene.publish(lane=Lane.IMMEDIATE)
    await scene.put_jobs(urgent, range(30_001, 30_101), lane=Lane.IMMEDIATE)
    await scene.wait_for(range(30_001, 30_101), urgent, timeout_seconds=20)
    statuses = await scene.statuses()
    last = max(status.submitted_at for status in statuses if status.alert_id == urgent)
    overtaken = sum(status.submitted_at <= last for status in statuses if status.alert_id == alert)
    assert overtaken < 15_000
