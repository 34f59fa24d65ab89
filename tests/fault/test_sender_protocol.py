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
from tests.support.sender_setup import Process, RouteUnderTest, open_route
from tests.support.waiting import eventually, found_first, remains

IN_DOUBT = 400
WINDOW = 200
SESSION_SECONDS = 6.0
"""The least that the broker allows."""
LEASE_SECONDS = SESSION_SECONDS / 2
"""Who is frozen learns of nothing: that a lease is over is a matter of time alone."""
STOP_SECONDS = 1.0
"""So long after a stop nothing more may leave."""


@pytest.fixture
async def route(kafka_settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    async with open_route(kafka_settings, tmp_path, account=f"window = {WINDOW}") as built:
        await built.simulator.behave(delay_ms=60)
        yield built


async def start(route: RouteUnderTest, slot: str = "a") -> Process:
    return await route.start_sender(slot, in_doubt_limit=IN_DOUBT, session_timeout_seconds=SESSION_SECONDS)


async def send_out(route: RouteUnderTest, count: int, lane: Lane = Lane.ROUTINE) -> tuple[str, range]:
    alert = await route.publish(lane=lane)
    recipients = range(1, count + 1)
    await route.put_jobs(alert, recipients, lane=lane)
    return alert, recipients


def marks(found: dict[int, list[Status]]) -> int:
    return sum(status.possible_duplicate for statuses in found.values() for status in statuses)


async def test_kill_9_again_and_again_loses_nobody_and_marks_every_copy(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 12_000)
    chosen = random.Random(4)
    kills = 0
    for goal in (600, 2_500, 4_500, 6_500, 8_500):
        sender = await start(route)
        await route.until_submitted(goal + chosen.randint(0, 300))
        await sender.kill()
        kills += 1
    await start(route)
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    doubled = await route.check(found, doubled_at_most=kills * IN_DOUBT)
    assert doubled > 0, "no kill hit a sender with anything in doubt"


async def test_a_second_crash_during_recovery_keeps_the_horizon_that_was_found(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 4_000)
    sender = await start(route)
    await route.until_submitted(1_500)
    await sender.kill()
    # So slow that the second one is killed when it has sent again but a few of what the first had in doubt.
    await route.simulator.behave(delay_ms=4_000)
    before = (await route.simulator.stats())["submits"]
    sender = await start(route)
    await route.until_submitted(before + WINDOW * 3 // 4)
    await sender.kill()
    await route.simulator.behave(delay_ms=10)
    await start(route)
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    assert await route.check(found, doubled_at_most=2 * IN_DOUBT) > 0


async def test_a_second_sender_in_the_slot_fences_the_first_which_ends_itself(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 5_000)
    first = await start(route)
    await route.until_submitted(800)
    await start(route)
    assert await first.end() == FENCED_EXIT_CODE
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    await route.check(found, doubled_at_most=IN_DOUBT)


async def test_partitions_of_a_dead_owner_move_to_another_slot_which_marks_what_it_may_have_sent(
    route: RouteUnderTest,
) -> None:
    alert, recipients = await send_out(route, 6_000)
    first = await start(route, "a")
    await route.until_submitted(800)
    await first.kill()
    second = await start(route, "b")
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    assert await route.check(found, doubled_at_most=IN_DOUBT) > 0
    assert "owner_fenced" in second.text()


async def test_a_frozen_sender_whose_partitions_moved_ends_itself_when_it_wakes(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 6_000)
    first = await start(route, "a")
    await route.until_submitted(800)
    first.send(signal.SIGSTOP)
    await start(route, "b")
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    before = (await route.simulator.stats())["submits"]
    recorded = len(await route.statuses())
    first.send(signal.SIGCONT)
    assert await first.end() in {LEASE_EXIT_CODE, FENCED_EXIT_CODE}

    async def nothing_written() -> bool:
        return bool((await route.simulator.stats())["submits"] == before)

    await remains(nothing_written, "it wrote nothing after it woke", for_seconds=1)
    assert len(await route.statuses()) == recorded, "it committed the answers that had waited for it"
    await route.check(found, doubled_at_most=IN_DOUBT)


async def test_a_frozen_sender_that_was_replaced_in_its_slot_ends_itself_when_it_wakes(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 6_000)
    first = await start(route, "a")
    await route.until_submitted(800)
    first.send(signal.SIGSTOP)
    await start(route, "a")
    await route.until_submitted(2_000)
    await asyncio.sleep(LEASE_SECONDS)
    first.send(signal.SIGCONT)
    assert await first.end() in {LEASE_EXIT_CODE, FENCED_EXIT_CODE}
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    await route.check(found, doubled_at_most=IN_DOUBT)


async def test_a_sender_frozen_past_its_lease_and_not_replaced_writes_nothing_more(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 3_000)
    first = await start(route)
    await route.until_submitted(800)
    first.send(signal.SIGSTOP)
    await asyncio.sleep(LEASE_SECONDS + 0.5)
    before = (await route.simulator.stats())["submits"]
    first.send(signal.SIGCONT)
    assert await first.end() == LEASE_EXIT_CODE
    # What it had handed to TCP before it froze may still arrive.
    assert (await route.simulator.stats())["submits"] - before <= WINDOW
    await start(route)
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    await route.check(found, doubled_at_most=IN_DOUBT)


async def test_a_living_owner_hands_partitions_over_without_a_copy_or_a_mark(route: RouteUnderTest) -> None:
    await route.simulator.behave(delay_ms=200)
    alert, recipients = await send_out(route, 12_000)
    first = await start(route, "a")
    await route.until_submitted(800)
    second = await start(route, "b")
    await route.until_owned("a", "b")
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    assert await route.check(found, doubled_at_most=0) == 0
    assert marks(found) == 0
    assert first.process.returncode is second.process.returncode is None
    binds = (await route.simulator.stats())["binds"]
    assert sum(bind["submits"] > 0 for bind in binds) == 2, "both have sent"


async def test_a_broker_that_is_away_longer_than_the_lease_ends_the_sender_and_loses_nobody(
    route: RouteUnderTest, kafka_broker: Kafka
) -> None:
    alert, recipients = await send_out(route, 5_000)
    first = await start(route)
    await route.until_submitted(800)
    await kafka_broker.kill9()
    try:
        assert await first.end() == LEASE_EXIT_CODE
        replacement = await start(route)
        await eventually(lambda: "service_awaited" in replacement.text())
        assert replacement.process.returncode is None, "it waits for the broker"
    finally:
        await kafka_broker.start()
    found = await route.wait_for(recipients, alert, timeout_seconds=90)
    await route.check(found, doubled_at_most=IN_DOUBT)


async def test_a_stop_is_obeyed_within_a_second_and_the_rest_is_cancelled(route: RouteUnderTest) -> None:
    alert, recipients = await send_out(route, 8_000)
    await start(route)
    await route.until_submitted(800)
    await route.cancel(alert)
    stopped_at = asyncio.get_running_loop().time()
    await asyncio.sleep(STOP_SECONDS)
    escaped = (await route.simulator.stats())["submits"]
    found = await route.wait_for(recipients, alert, timeout_seconds=60)
    assert (await route.simulator.stats())["submits"] == escaped < 8_000, stopped_at
    outcomes = [status.outcome for statuses in found.values() for status in statuses]
    assert outcomes.count(Outcome.ACCEPTED) == escaped
    assert outcomes.count(Outcome.CANCELLED) == 8_000 - escaped


async def test_an_smsc_that_goes_away_is_waited_for_and_what_expires_meanwhile_is_expired(
    route: RouteUnderTest,
) -> None:
    alert, recipients = await send_out(route, 4_000)
    short = await route.publish(seconds=6)
    await route.put_jobs(short, range(5_001, 5_011), lane=Lane.IMMEDIATE)
    sender = await start(route)
    await route.until_submitted(800)
    # Silent before it is gone, so that the link is lost with submits unanswered and not between two batches.
    route.simulator.process.send(signal.SIGSTOP)

    async def window_full() -> bool:
        return (await sender.metrics())['tocsin_smpp_window_used_ratio{account="acc",bind="0"}'] > 0.9

    await eventually(window_full)
    await route.simulator.process.kill()
    late = await route.publish(seconds=1, lane=Lane.IMMEDIATE)
    await route.put_jobs(late, range(6_001, 6_011), lane=Lane.IMMEDIATE)
    expired = await route.wait_for(range(6_001, 6_011), late, timeout_seconds=20)
    assert {s.outcome for statuses in expired.values() for s in statuses} == {Outcome.EXPIRED}
    await route.restart_simulator()

    async def all_accepted() -> list[Status]:
        found = [status for status in await route.statuses() if status.alert_id == alert]
        return found if [status.outcome for status in found].count(Outcome.ACCEPTED) == len(recipients) else []

    found = await found_first(all_accepted, "everybody is accepted", within_seconds=60)
    assert sender.process.returncode is None
    # What was unanswered when the link was lost is sent again, marked.
    unknown = {status.recipient_id for status in found if status.outcome is Outcome.UNKNOWN}
    assert 0 < len(unknown) <= WINDOW
    assert {status.recipient_id for status in found if status.possible_duplicate} == unknown


async def test_an_urgent_alert_overtakes_a_backlog(route: RouteUnderTest) -> None:
    alert, _ = await send_out(route, 20_000)
    await start(route)
    await route.until_submitted(1_000)
    urgent = await route.publish(lane=Lane.IMMEDIATE)
    await route.put_jobs(urgent, range(30_001, 30_101), lane=Lane.IMMEDIATE)
    await route.wait_for(range(30_001, 30_101), urgent, timeout_seconds=20)
    statuses = await route.statuses()
    last = max(status.submitted_at for status in statuses if status.alert_id == urgent)
    overtaken = sum(status.submitted_at <= last for status in statuses if status.alert_id == alert)
    assert overtaken < 15_000
