"""Four accounts of one route, one of them out of order: the other three carry the broadcast at their full rate."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome, Status
from tests.support.sender_setup import RouteUnderTest, Simulator, open_route, start_simulator
from tests.support.waiting import eventually

RATE = 200
"""Segments per second of each account. A machine of one's own bears 1,000; the ratios are the same."""
PEOPLE = 6_000
LEAST_SHARE = 2_900 / 3_000
"""Of what the three healthy accounts can carry together."""
RESPONSE_TIMEOUT_SECONDS = 3.0

ACCOUNT = """
[[routes.accounts]]
name = "{name}"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
source_addr = "TOCSIN"
backoff_seconds = 0.1
backoff_limit_seconds = 1.0
"""
LIMITS = f"""
rate_per_second = {RATE}
response_timeout_seconds = {RESPONSE_TIMEOUT_SECONDS}
"""


@dataclass
class FourAccounts:
    """The route with its accounts `acc`, `b`, `c` and `d`; `acc` is the one that is out of order."""

    route: RouteUnderTest
    healthy: list[Simulator]

    async def arrived(self) -> int:
        return sum([(await simulator.stats())["accepted"] for simulator in self.healthy])

    async def measure_rate(self) -> float:
        """Messages per second that the healthy accounts take in the middle of the broadcast."""
        begin, end = PEOPLE // 5, PEOPLE * 4 // 5
        while (first := await self.arrived()) < begin:
            await asyncio.sleep(0.05)
        began_at = time.monotonic()
        while (last := await self.arrived()) < end:
            await asyncio.sleep(0.05)
        return (last - first) / (time.monotonic() - began_at)


@asynccontextmanager
async def four_accounts(settings: Settings, directory: Path) -> AsyncIterator[FourAccounts]:
    async with AsyncExitStack() as stack:
        healthy = []
        blocks = [LIMITS]
        for name in "bcd":
            simulator = await start_simulator(directory)
            stack.push_async_callback(simulator.process.kill)
            healthy.append(simulator)
            blocks.append(ACCOUNT.format(name=name, port=simulator.port) + LIMITS)
        route = await stack.enter_async_context(open_route(settings, directory, account="".join(blocks)))
        yield FourAccounts(route, healthy)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", ["dead", "mute", "slow"])
async def test_three_healthy_accounts_carry_the_broadcast_at_their_full_rate(
    kafka_settings: Settings, tmp_path: Path, fault: str
) -> None:
    async with four_accounts(kafka_settings, tmp_path) as accounts:
        route = accounts.route
        match fault:
            case "dead":
                await route.simulator.process.kill()
            case "mute":
                await route.simulator.behave(hang_share=1.0)
            case "slow":
                await route.simulator.behave(delay_ms=1000 * (RESPONSE_TIMEOUT_SECONDS + 2))
        alert = await route.publish(lane=Lane.IMMEDIATE)
        recipients = range(1, PEOPLE + 1)
        await route.put_jobs(alert, recipients, lane=Lane.IMMEDIATE)
        sender = await route.start_sender()
        rate = await accounts.measure_rate()
        assert rate >= LEAST_SHARE * 3 * RATE
        reached: Counter[int] = Counter()

        async def all_reached() -> bool:
            reached.clear()
            reached.update(s.recipient_id for s in await route.statuses() if s.outcome is Outcome.ACCEPTED)
            return reached.keys() == set(recipients)

        await eventually(all_reached, "everybody is reached", within_seconds=90)
        assert max(reached.values()) == 1
        statuses = [status for status in await route.statuses() if status.account == "acc"]
        check_what_the_bad_account_took(fault, statuses)
        if fault == "mute":
            assert '"kind": "session_mute"' in sender.text()


def check_what_the_bad_account_took(fault: str, statuses: list[Status]) -> None:
    """Its window at most, and a probe now and then; what it took arrives, by itself if it is only slow."""
    outcomes = Counter(status.outcome for status in statuses)
    match fault:
        case "dead":
            assert not outcomes
        case "mute":
            assert set(outcomes) == {Outcome.UNKNOWN}
            assert outcomes[Outcome.UNKNOWN] <= 64 + 3 * 10
        case "slow":
            assert set(outcomes) == {Outcome.ACCEPTED}
