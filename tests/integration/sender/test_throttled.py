"""A real sender on an SMSC that throttles: by generic_nack, and a share of whatever comes."""

import asyncio
import time
from pathlib import Path

import pytest

from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.sender_setup import RouteUnderTest, open_route

NACKED_ONCE = """
[[rules]]
first = 1
answer = { status = "RTHROTTLED", nack = true }
"""
SHARE = 0.2
BY_CHANCE = f"""
seed = 7
[[rules]]
share = {SHARE}
answer.status = "RTHROTTLED"
"""
RATE = 400


async def check_that_throttling_used_up_nothing(route: RouteUnderTest, people: range) -> None:
    statuses = await route.statuses()
    assert sorted(status.recipient_id for status in statuses) == list(people), "one status for each"
    assert {(status.outcome, status.attempt, status.possible_duplicate) for status in statuses} == {
        (Outcome.ACCEPTED, 1, False)
    }


@pytest.mark.timeout(120)
async def test_a_submit_answered_by_a_generic_nack_is_settled_at_once_and_goes_again_unmarked(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    people = range(1, 51)
    async with open_route(
        kafka_settings, tmp_path, account="response_timeout_seconds = 30", profile=NACKED_ONCE
    ) as route:
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, people, lane=Lane.IMMEDIATE)
        await route.start_sender()
        await route.wait_for(people, alert, timeout_seconds=25)
        await check_that_throttling_used_up_nothing(route, people)
        stats = await route.simulator.stats()
        assert stats["refused_by_status"] == {"ESME_RTHROTTLED": len(people)}


@pytest.mark.timeout(120)
async def test_random_throttling_of_a_fifth_leaves_seventy_percent_of_what_the_smsc_can_take(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    people = range(1, RATE * 12 + 1)
    async with open_route(kafka_settings, tmp_path, account=f"rate_per_second = {RATE}", profile=BY_CHANCE) as route:
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, people, lane=Lane.IMMEDIATE)
        await route.start_sender()
        while (accepted := (await route.simulator.stats())["accepted"]) < RATE:
            await asyncio.sleep(0.05)
        began_at, began = time.monotonic(), accepted
        while (accepted := (await route.simulator.stats())["accepted"]) < 0.9 * len(people):
            await asyncio.sleep(0.05)
        assert (accepted - began) / (time.monotonic() - began_at) >= 0.7 * RATE * (1 - SHARE)
        await route.wait_for(people, alert, timeout_seconds=60)
        await check_that_throttling_used_up_nothing(route, people)
