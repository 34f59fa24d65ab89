"""A process that freezes where it holds something stops nobody: others do the work, and an alarm names it.

It is frozen again and again, at any moment, until it is found to hold what the case says.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest
from aiokafka import TopicPartition

from broadcast.clock import monotonic
from broadcast.embedded.processes.child import Process
from broadcast.kafka.clients import make_consumer
from schemas.lane import LANES, Lane
from tests.fault import report
from tests.fault.accounting import draw_up, wait_final
from tests.fault.system import COMMON, FAST, IN_DOUBT_LIMIT, SLOW, SystemUnderTest
from tests.support.waiting import eventually

SYSTEM = COMMON

SMALL = 100
ROUNDS = 25
BUDGET_SECONDS = 30.0
"""From the freeze until another alert is completed and the frozen process is named."""
AIM_SECONDS = 60.0
SETTLE_SECONDS = 0.03
"""What was on its way to a server when its client froze has arrived."""

pytestmark = pytest.mark.asyncio(loop_scope="session")

Held = Callable[[SystemUnderTest, str, str], Awaitable[bool]]
"""Whether the process of a stage in a slot, which is frozen now, holds what the case is about."""


async def in_transaction(system: SystemUnderTest, stage: str, slot: str) -> bool:
    """It has a transaction of PostgreSQL open, and with it its locks."""
    return await _ask(
        system,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND backend_xid IS NOT NULL "
        "AND wait_event_type = 'Client')",
        f"tocsin {stage} {slot}",
    )


async def sweeping(system: SystemUnderTest, stage: str, slot: str) -> bool:
    """It holds the lease of the sweep."""
    return await _ask(
        system,
        "SELECT EXISTS (SELECT FROM leases WHERE name = 'sweep' AND holder LIKE $1 || ' on %' AND ends_at > now())",
        f"tocsin {stage} {slot}",
    )


async def anything(_system: SystemUnderTest, _stage: str, _slot: str) -> bool:
    """Wherever it is."""
    return True


def kafka_transaction_on(topics: Callable[[SystemUnderTest], dict[str, int]]) -> Held:
    """It has a transaction of Kafka open on these topics, by their partitions: readers see less than is there."""

    async def held(system: SystemUnderTest, _stage: str, _slot: str) -> bool:
        partitions = [TopicPartition(topic, one) for topic, count in topics(system).items() for one in range(count)]
        ends = []
        for level in ("read_committed", "read_uncommitted"):
            consumer = make_consumer(system.settings, isolation_level=level)
            await consumer.start()
            try:
                ends.append(await consumer.end_offsets(partitions))
            finally:
                await consumer.stop()
        return any(ends[1][one] > ends[0][one] for one in partitions)

    return held


def expansions(system: SystemUnderTest) -> dict[str, int]:
    return {system.names.expansions(lane): system.settings.expansion_partitions for lane in LANES}


def statuses(system: SystemUnderTest) -> dict[str, int]:
    return {system.names.statuses: system.settings.status_partitions}


def jobs(system: SystemUnderTest) -> dict[str, int]:
    return {system.names.jobs("simulated", lane): 4 for lane in LANES}


@dataclass(frozen=True)
class Case:
    """A stage, and what it holds when it freezes."""

    name: str
    stage: str
    held: Held


CASES = (
    Case("planner in a transaction of PostgreSQL", "planner", in_transaction),
    Case("planner in a transaction of Kafka", "planner", kafka_transaction_on(expansions)),
    Case("expander in a transaction of PostgreSQL", "expander", in_transaction),
    Case("expander in a transaction of Kafka", "expander", kafka_transaction_on(jobs)),
    Case("sender in a transaction of Kafka", "sender", kafka_transaction_on(statuses)),
    Case("recorder in a transaction of PostgreSQL", "recorder", in_transaction),
    Case("recorder with the lease of the sweep", "recorder", sweeping),
    Case("API", "api", anything),
)
SHORT = {"recorder with the lease of the sweep"}


@dataclass
class Broadcasts:
    """Small alerts that keep coming while somebody is aimed at."""

    system: SystemUnderTest
    alerts: list[UUID] = field(default_factory=list)

    async def keep_coming(self) -> None:
        for _ in range(ROUNDS):
            self.alerts += await self.system.produce([self.system.alert(SMALL, Lane.PRIORITY) for _ in range(2)])
            await asyncio.sleep(0.3)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=[] if case.name in SHORT else [pytest.mark.long]) for case in CASES],
)
async def test_a_process_that_freezes_stops_nobody_and_is_named(system: SystemUnderTest, case: Case, seed: int) -> None:
    began_at = monotonic()
    await system.begin(SMALL * (2 * ROUNDS + 10))
    broadcasts = Broadcasts(system)
    async with replicas(system, case.stage) as processes:
        coming = asyncio.create_task(broadcasts.keep_coming())
        slot = await freeze(system, case, processes, random.Random(seed))
        frozen_at = monotonic()
        try:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming
            done, named = await others_go_on(system, case, f"{case.stage} {slot}", broadcasts, frozen_at)
        finally:
            processes[slot].kill(signal.SIGCONT)
        await silent_no_more(system, f"{case.stage} {slot}")
        await system.pace(FAST)
        await wait_final(system, broadcasts.alerts, budget_seconds=90)
    account = await draw_up(system, broadcasts.alerts, expected_alarms=("queued_without_lag",))
    allowed = IN_DOUBT_LIMIT if case.stage == "sender" else 0
    entry = report.Entry(
        test=f"frozen: {case.name}",
        kills=1,
        hits=1,
        allowed=allowed,
        seconds=monotonic() - began_at,
        seed=seed,
        note=f"another alert completed after {done:.1f} s, named after {named:.1f} s",
    )
    report.add(entry, account)
    account.check(duplicates_at_most=allowed)


async def test_a_client_that_freezes_with_the_row_of_an_alert_stops_nobody(system: SystemUnderTest) -> None:
    """As psql does: it has no name and sets no limit, and its alert is cancelled meanwhile."""
    began_at = monotonic()
    await system.begin(11 * SMALL)
    await system.pace(SLOW)
    first = await system.publish(system.alert(10 * SMALL))
    await eventually(lambda: has_audience(system, first), "the first alert is on its way", within_seconds=30)
    client = await asyncpg.connect(system.settings.database_url.get_secret_value())
    try:
        transaction = client.transaction()
        await transaction.start()
        await client.execute("SET idle_in_transaction_session_timeout = 0")
        await client.execute("SELECT FROM alerts WHERE alert_id = $1 FOR UPDATE", first)
        (await system.client.post(f"/v1/alerts/{first}/cancel", json={"reason": "over"})).raise_for_status()
        frozen_at = monotonic()
        other = await system.publish(system.alert(SMALL, Lane.IMMEDIATE))
        await eventually(lambda: is_completed(system, other), "another alert", within_seconds=BUDGET_SECONDS)
        done = monotonic() - frozen_at
        assert await _ask(
            system,
            "SELECT EXISTS (SELECT FROM alarms WHERE kind = 'lock_held' AND subject LIKE '%pid ' || $1)",
            str(client.get_server_pid()),
        )
    finally:
        client.terminate()
    await system.pace(FAST)
    await wait_final(system, [first, other], budget_seconds=60)
    account = await draw_up(system, [other])  # the first one was cancelled
    entry = report.Entry(
        test="frozen: client with the row of an alert",
        kills=1,
        hits=1,
        seconds=monotonic() - began_at,
        note=f"another alert completed after {done:.1f} s",
    )
    report.add(entry, account)
    account.check()


@asynccontextmanager
async def replicas(system: SystemUnderTest, stage: str) -> AsyncIterator[dict[str, Process]]:
    """The processes of a stage by their slots: the regular one and, but of the API, a second one."""
    regular = system.stack.stage(stage)
    processes = {system.stack.environment.get("BROADCAST_SLOT", "1"): regular.process}
    if stage == "api":
        yield processes
        return
    second = processes["2"] = system.victim(stage, BROADCAST_SLOT="2")
    second.start()
    try:
        await eventually(
            lambda: _ask(system, "SELECT EXISTS (SELECT FROM processes WHERE stage = $1 AND slot = '2')", stage),
            "the second process runs",
            within_seconds=60,
        )
        yield processes
    finally:
        second.kill(signal.SIGCONT)
        await second.stop(budget_seconds=15)
        async with system.database() as connection:
            await connection.execute("DELETE FROM processes WHERE stage = $1 AND slot = '2'", stage)


async def freeze(system: SystemUnderTest, case: Case, processes: dict[str, Process], chance: random.Random) -> str:
    """Freeze one of the processes while it holds what the case is about; its slot."""
    deadline = monotonic() + AIM_SECONDS
    while monotonic() < deadline:
        for slot, process in processes.items():
            await asyncio.sleep(chance.uniform(0, 0.05))
            process.kill(signal.SIGSTOP)
            await asyncio.sleep(SETTLE_SECONDS)
            if await case.held(system, case.stage, slot):
                return slot
            process.kill(signal.SIGCONT)
    raise AssertionError(f"{case.name}: never met in {AIM_SECONDS} s")


async def others_go_on(
    system: SystemUnderTest, case: Case, subject: str, broadcasts: Broadcasts, frozen_at: float
) -> tuple[float, float]:
    """Seconds from the freeze until another alert was completed, and until the frozen process was named."""
    alert = system.alert(SMALL, Lane.IMMEDIATE)
    [other] = await system.produce([alert]) if case.stage == "api" else [await system.publish(alert)]
    broadcasts.alerts.append(other)
    await eventually(
        lambda: is_completed(system, other),
        f"another alert is completed while {subject} is frozen",
        within_seconds=BUDGET_SECONDS - (monotonic() - frozen_at),
    )
    done = monotonic() - frozen_at
    await eventually(
        lambda: is_named(system, subject),
        f"an alarm names {subject}",
        within_seconds=max(1.0, BUDGET_SECONDS - (monotonic() - frozen_at)),
    )
    return done, monotonic() - frozen_at


async def has_audience(system: SystemUnderTest, alert: UUID) -> bool:
    return await _ask(system, "SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1 AND audience > 0)", alert)


async def is_completed(system: SystemUnderTest, alert: UUID) -> bool:
    return await _ask(
        system, "SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1 AND completed_at IS NOT NULL)", alert
    )


async def is_named(system: SystemUnderTest, subject: str) -> bool:
    return await _ask(
        system,
        "SELECT EXISTS (SELECT FROM alarms WHERE kind = 'process_silent' AND subject = $1 AND cleared_at IS NULL)",
        subject,
    )


async def silent_no_more(system: SystemUnderTest, subject: str) -> None:
    """It goes on, or ends itself and is started again by whoever supervises it; a victim is not."""

    async def ended_or_back() -> bool:
        return subject.endswith(" 2") or not await is_named(system, subject)

    await eventually(ended_or_back, f"{subject} is back", within_seconds=60)


async def _ask(system: SystemUnderTest, question: str, *values: object) -> bool:
    async with system.database() as connection:
        return bool(await connection.fetchval(question, *values))
