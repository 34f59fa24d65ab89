"""Four accounts of one route, one of them out of order: the other three carry the broadcast at their full rate."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from broadcast.alarms import ACCOUNT_STOPPED, BIND_DOWN, SESSION_MUTE
from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome, Status
from tests.support.sender_setup import Process, RouteUnderTest, Simulator, open_route, start_simulator
from tests.support.waiting import eventually
from tests.support.waiting_for_cpu import ProcessClock

RATE = 50
"""Segments per second of each account: few, so that a busy machine carries them. `make bench-accounts` has 1,000."""
PEOPLE = 1_500
LEAST_SHARE = 0.9
"""Of what the three healthy accounts can carry together, on a busy machine; `make bench-accounts` wants 97 %."""
RESPONSE_TIMEOUT_SECONDS = 3.0

ALARMS = {"mute": SESSION_MUTE, "refusing": ACCOUNT_STOPPED, "throttling": ACCOUNT_STOPPED, "dead": BIND_DOWN}

ACCOUNT = """
[[routes.accounts]]
name = "{name}"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
simulated = true
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

    async def measure_rate(self, sender: Process) -> float:
        """Messages per second that the healthy accounts take in the middle of the broadcast.

        The median of spans of 2 s, without the time in which the sender waits for a processor.
        """
        clock = ProcessClock([sender.process.pid])
        while await self.arrived() < PEOPLE // 5:
            await asyncio.sleep(0.05)
        rates = []
        at, count = clock.seconds(), await self.arrived()
        while count < PEOPLE * 4 // 5:
            await asyncio.sleep(2)
            now, reached = clock.seconds(), await self.arrived()
            rates.append((reached - count) / (now - at))
            at, count = now, reached
        return median(rates)


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
@pytest.mark.parametrize("fault", ["dead", "mute", "refusing", "slow", "throttling"])
async def test_three_healthy_accounts_carry_the_broadcast_at_their_full_rate(
    kafka_settings: Settings, tmp_path: Path, fault: str
) -> None:
    async with four_accounts(kafka_settings, tmp_path) as accounts:
        route = accounts.route
        match fault:
            case "dead":
                await route.simulator.process.kill()
            case "mute":
                await route.simulator.behave(hang_share=1.0, hang_takes=False)
            case "refusing":
                await route.simulator.behave(error_shares={"invsrcadr": 1.0})
            case "throttling":
                await route.simulator.behave(error_shares={"throttled": 1.0})
            case "slow":
                await route.simulator.behave(delay_ms=1000 * (RESPONSE_TIMEOUT_SECONDS + 2))
        alert = await route.publish(lane=Lane.IMMEDIATE)
        recipients = range(1, PEOPLE + 1)
        await route.put_jobs(alert, recipients, lane=Lane.IMMEDIATE)
        sender = await route.start_sender()
        rate = await accounts.measure_rate(sender)
        assert rate >= LEAST_SHARE * 3 * RATE
        reached: Counter[int] = Counter()

        async def all_reached() -> bool:
            reached.clear()
            reached.update(s.recipient_id for s in await route.statuses() if s.outcome is Outcome.ACCEPTED)
            return reached.keys() == set(recipients)

        await eventually(all_reached, "everybody is reached", within_seconds=90)
        assert max(reached.values()) == 1
        found = await route.statuses()
        unanswered = {status.recipient_id for status in found if status.outcome is Outcome.UNKNOWN}
        assert {status.recipient_id for status in found if status.possible_duplicate} == unanswered
        statuses = [status for status in found if status.account == "acc"]
        check_what_the_bad_account_took(fault, statuses)
        if fault in ALARMS:
            assert f'"kind": "{ALARMS[fault]}"' in sender.text()


def check_what_the_bad_account_took(fault: str, statuses: list[Status]) -> None:
    """Its window at most, and a probe now and then; what it took arrives, by itself if it is only slow."""
    # A receipt may settle later what was not answered.
    outcomes = Counter(status.outcome for status in statuses if not status.late)
    match fault:
        case "dead":
            assert not outcomes
        case "mute":
            assert set(outcomes) == {Outcome.UNKNOWN}
            assert outcomes[Outcome.UNKNOWN] <= 64 + 3
            assert all(status.attempt == 1 for status in statuses), "no resend goes to it"
        case "refusing":
            assert set(outcomes) == {Outcome.REFUSED_FOR_NOW}
            assert all("ESME_RINVSRCADR" in status.reason for status in statuses)
            assert outcomes.total() <= 64 + 20 + 10 * 10
        case "slow":
            assert set(outcomes) == {Outcome.ACCEPTED}


@pytest.mark.timeout(180)
async def test_a_fallback_account_gets_work_while_and_only_while_no_other_can_take_any(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    spare = await start_simulator(tmp_path)
    more = ACCOUNT.format(name="spare", port=spare.port) + "fallback = true\n"
    try:
        async with open_route(kafka_settings, tmp_path, account=more) as route:
            alert = await route.publish()
            sender = await route.start_sender()

            async def all_sent(people: range) -> Counter[str]:
                await route.put_jobs(alert, people)
                found = await route.wait_for(people, alert)
                return Counter(found[person][0].account for person in people)

            await eventually(lambda: sender.text().count("session_bound") == 2, "both are bound", within_seconds=30)
            assert await all_sent(range(1, 501)) == {"acc": 500}
            await route.simulator.process.kill()
            await eventually(lambda: "session_lost" in sender.text() or "bind_failed" in sender.text(), "acc is away")
            assert await all_sent(range(501, 1_001)) == {"spare": 500}
            bound = sender.text().count("session_bound")
            await route.restart_simulator()
            await eventually(lambda: sender.text().count("session_bound") > bound, "acc is back", within_seconds=30)
            assert await all_sent(range(1_001, 1_501)) == {"acc": 500}
    finally:
        await spare.process.kill()


OTHER_ROUTE = """
[[routes]]
name = "other"
prefixes = ["+0"]
partitions = 3
"""


@pytest.mark.timeout(180)
async def test_jobs_of_a_route_without_a_working_account_go_once_by_its_fallback_route(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    spare = await start_simulator(tmp_path)
    more = OTHER_ROUTE + ACCOUNT.format(name="spare", port=spare.port)
    try:
        async with open_route(
            kafka_settings,
            tmp_path,
            account="response_timeout_seconds = 2" + more,
            route='fallback_route = "other"\nfallback_after_seconds = 2\ndelays_seconds = [1, 2]',
        ) as route:
            alert = await route.publish(lane=Lane.IMMEDIATE)
            sender = await route.start_sender()

            async def accounts_of(people: range) -> Counter[str]:
                found = await route.wait_for(people, alert, timeout_seconds=90)
                assert {found[person][-1].outcome for person in people} == {Outcome.ACCEPTED}
                return Counter(found[person][-1].account for person in people)

            await eventually(lambda: sender.text().count("session_bound") == 2, "both are bound", within_seconds=30)
            await route.put_jobs(alert, range(1, 301), lane=Lane.IMMEDIATE)
            assert await accounts_of(range(1, 301)) == {"acc": 300}

            # The SMSC goes while it has submits: those are unknown, and go as marked copies.
            await route.simulator.behave(hang_share=1.0, receipts=False)
            await route.put_jobs(alert, range(301, 8_001), lane=Lane.IMMEDIATE)
            await route.until_submitted(364)
            await route.simulator.process.kill()

            async def rerouted() -> bool:
                return len(await spare.numbers()) == 7_700

            await eventually(rerouted, "all are with the other SMSC", within_seconds=60)
            numbers = await spare.numbers()
            assert set(numbers.values()) == {1}
            marked = [status for status in await route.statuses() if status.possible_duplicate]
            assert {status.account for status in marked} == {"spare"}
            assert len(marked) == 64, "a window of them was with the SMSC"

            bound = sender.text().count("session_bound")
            await route.restart_simulator()
            await eventually(lambda: sender.text().count("session_bound") > bound, "acc is back", within_seconds=30)
            await route.put_jobs(alert, range(8_001, 8_301), lane=Lane.IMMEDIATE)
            assert await accounts_of(range(8_001, 8_301)) == {"acc": 300}
            assert (await sender.metrics())['tocsin_jobs_rerouted_total{lane="immediate"}'] == 7_700
            assert await sender.stop() == 0
            assert all(position.pending == () for position in (await route.positions()).values())
    finally:
        await spare.process.kill()


@pytest.mark.timeout(180)
async def test_a_kill_while_jobs_change_their_route_loses_nobody_and_marks_each_copy(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    spare = await start_simulator(tmp_path)
    more = OTHER_ROUTE + ACCOUNT.format(name="spare", port=spare.port)
    fallback = 'fallback_route = "other"\nfallback_after_seconds = 1\ndelays_seconds = [1, 2]'
    people = range(1, 12_001)
    try:
        async with open_route(kafka_settings, tmp_path, account=more, route=fallback) as route:
            await route.simulator.process.kill()
            await spare.behave(delay_ms=20)
            alert = await route.publish(lane=Lane.IMMEDIATE)
            await route.put_jobs(alert, people, lane=Lane.IMMEDIATE)
            for submits in (500, 4_000):
                sender = await route.start_sender()

                async def submitted(count: int = submits) -> bool:
                    return bool((await spare.stats())["submits"] >= count)

                await eventually(submitted, f"{submits} submits", within_seconds=60)
                await sender.kill()
            await route.start_sender()
            found = await route.wait_for(people, alert, timeout_seconds=90)
            route.simulator = spare
            await route.check(found, doubled_at_most=2 * route.settings.in_doubt_limit)
    finally:
        await spare.process.kill()
