"""Accounts that refuse, are repaired, and are the only one left: nobody waits while an account works."""

from pathlib import Path

import pytest

from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.sender_setup import open_route, start_simulator
from tests.support.waiting import eventually

OTHER = """
[[routes.accounts]]
name = "other"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
simulated = true
source_addr = "TOCSIN"
backoff_seconds = 0.1
backoff_limit_seconds = 1.0
rate_per_second = 20
"""
PEOPLE = range(1, 101)
DELAYS = "delays_seconds = [1, 2]"


@pytest.mark.timeout(180)
async def test_what_an_account_refused_goes_by_it_after_its_repair_when_the_other_account_is_gone(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    other = await start_simulator(tmp_path)
    try:
        async with open_route(kafka_settings, tmp_path, account=OTHER.format(port=other.port), route=DELAYS) as route:
            sender = await route.start_sender()
            await eventually(lambda: sender.text().count("session_bound") == 2, "both are bound", within_seconds=30)
            await route.simulator.behave(error_shares={"invsrcadr": 1.0})
            alert = await route.publish(lane=Lane.IMMEDIATE)
            await route.put_jobs(alert, PEOPLE, lane=Lane.IMMEDIATE)

            async def refused() -> bool:
                found = await route.statuses()
                return sum(status.outcome is Outcome.REFUSED_FOR_NOW for status in found) >= 20

            await eventually(refused, "one account refuses", within_seconds=30)
            await other.process.kill()
            await route.simulator.behave(error_shares={})

            async def all_accepted() -> bool:
                found = await route.statuses()
                return {s.recipient_id for s in found if s.outcome is Outcome.ACCEPTED} == set(PEOPLE)

            await eventually(all_accepted, "everybody is accepted", within_seconds=60)
            statuses = await route.statuses()
            assert {status.outcome for status in statuses} <= {
                Outcome.ACCEPTED,
                Outcome.REFUSED_FOR_NOW,
                Outcome.UNKNOWN,
            }, "nobody is rejected"
            assert await sender.stop() == 0
    finally:
        await other.process.kill()
