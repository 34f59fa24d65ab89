"""A process that freezes where it holds something stops nobody: others do the work, and an alarm names it.

It is frozen again and again, at any moment, until it is found to hold what the case says.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from broadcast.clock import monotonic
from broadcast.embedded.processes.child import Process
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.holding import (
    Held,
    alerts,
    anything,
    are_completed,
    ask,
    expansions,
    in_transaction,
    reading,
    sending,
    sweeping,
    writing,
)
from tests.fault.system import COMMON, FAST, IN_DOUBT_LIMIT, SystemUnderTest
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


@dataclass(frozen=True)
class Case:
    """A stage, and what it holds when it freezes."""

    name: str
    stage: str
    held: Held


CASES = (
    Case("planner in a transaction of PostgreSQL", "planner", writing("alerts", "alert_events")),
    Case("planner in a transaction of Kafka", "planner", reading(alerts)),
    Case("expander in a transaction of PostgreSQL", "expander", in_transaction),
    Case("expander in a transaction of Kafka", "expander", reading(expansions)),
    Case("sender in a transaction of Kafka", "sender", sending),
    Case("recorder in a transaction of PostgreSQL", "recorder", writing("evidence")),
    Case("recorder with the lease of the sweep", "recorder", sweeping),
    Case("API", "api", anything),
)
SHORT = {"recorder with the lease of the sweep"}


@dataclass
class Broadcasts:
    """Small alerts that keep coming while somebody is aimed at."""

    system: SystemUnderTest
    alerts: list[UUID] = field(default_factory=list)

    async def keep_coming(self, over: asyncio.Event) -> None:
        for _ in range(ROUNDS):
            if over.is_set():
                return
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
        over = asyncio.Event()
        coming = asyncio.create_task(broadcasts.keep_coming(over))
        try:
            slot, held = await freeze(system, case, processes, random.Random(seed))
        finally:
            frozen_at = monotonic()
            over.set()
            await coming
        printed = len(log_of(system, case.stage, slot))
        try:
            done, named = await others_go_on(system, case, f"{case.stage} {slot}", broadcasts, frozen_at)
        finally:
            processes[slot].kill(signal.SIGCONT)
        await silent_no_more(system, f"{case.stage} {slot}")
        gave_up = await gives_up(system, case.stage, slot, printed)
        await system.pace(FAST)
        await wait_final(system, broadcasts.alerts, budget_seconds=90)
    allowed = IN_DOUBT_LIMIT if case.stage == "sender" else 0
    entry = report.Entry(
        test=f"frozen: {case.name}",
        kills=1,
        hits=1,
        allowed=allowed,
        seconds=monotonic() - began_at,
        seed=seed,
        note=f"all alerts completed after {done:.1f} s, named after {named:.1f} s; held {held}; then {gave_up}",
    )
    await report.conclude(system, broadcasts.alerts, entry, expected_alarms=("queued_without_lag",))


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
            lambda: ask(system, "SELECT EXISTS (SELECT FROM processes WHERE stage = $1 AND slot = '2')", stage),
            "the second process runs",
            within_seconds=60,
        )
        yield processes
    finally:
        second.kill(signal.SIGCONT)
        await second.stop(budget_seconds=15)
        async with system.database() as connection:
            await connection.execute("DELETE FROM processes WHERE stage = $1 AND slot = '2'", stage)


async def freeze(
    system: SystemUnderTest, case: Case, processes: dict[str, Process], chance: random.Random
) -> tuple[str, str]:
    """Freeze one of the processes while it holds what the case is about; its slot, and what it holds."""
    deadline = monotonic() + AIM_SECONDS
    while monotonic() < deadline:
        for slot, process in processes.items():
            await asyncio.sleep(chance.uniform(0, 0.05))
            process.kill(signal.SIGSTOP)
            await asyncio.sleep(SETTLE_SECONDS)
            held = await case.held(system, case.stage, slot)
            if held:
                return slot, held
            process.kill(signal.SIGCONT)
    raise AssertionError(f"{case.name}: never met in {AIM_SECONDS} s")


async def others_go_on(
    system: SystemUnderTest, case: Case, subject: str, broadcasts: Broadcasts, frozen_at: float
) -> tuple[float, float]:
    """Seconds from the freeze until every alert was completed, and until the frozen process was named.

    One alert is published after the freeze; the others include those that the frozen process had in hand.
    """
    alert = system.alert(SMALL, Lane.IMMEDIATE)
    [other] = await system.produce([alert]) if case.stage == "api" else [await system.publish(alert)]
    broadcasts.alerts.append(other)
    await eventually(
        lambda: are_completed(system, broadcasts.alerts),
        f"every alert is completed while {subject} is frozen",
        within_seconds=BUDGET_SECONDS - (monotonic() - frozen_at),
    )
    done = monotonic() - frozen_at
    await eventually(
        lambda: is_named(system, subject),
        f"an alarm names {subject}",
        within_seconds=max(1.0, BUDGET_SECONDS - (monotonic() - frozen_at)),
    )
    return done, monotonic() - frozen_at


async def is_named(system: SystemUnderTest, subject: str) -> bool:
    return await ask(
        system,
        "SELECT EXISTS (SELECT FROM alarms WHERE kind = 'process_silent' AND subject = $1 AND cleared_at IS NULL)",
        subject,
    )


async def silent_no_more(system: SystemUnderTest, subject: str) -> None:
    """It goes on, or ends itself and is started again by whoever supervises it; a victim is not."""

    async def ended_or_back() -> bool:
        return subject.endswith(" 2") or not await is_named(system, subject)

    await eventually(ended_or_back, f"{subject} is back", within_seconds=60)


GIVING_UP = {
    "planner": ("process_fenced",),
    "expander": ("process_fenced",),
    "sender": ("process_fenced", "process_ended"),
    "recorder": ("process_fenced", "batch_abandoned", "lease_lost"),
}
"""Log events by which a process of a stage says that what it had in hand is another's; an API has nothing in hand."""


def log_of(system: SystemUnderTest, stage: str, slot: str) -> str:
    return system.log_of(f"{stage}-victim" if slot == "2" else stage)


async def gives_up(system: SystemUnderTest, stage: str, slot: str, printed: int) -> str:
    """Wait until a process that goes on after a freeze gives up what it had in hand; the event that it logs."""
    if stage not in GIVING_UP:
        return "goes on"

    def said() -> str:
        new = log_of(system, stage, slot)[printed:]
        return next((event for event in GIVING_UP[stage] if event in new), "")

    await eventually(said, f"{stage} {slot} gives up what it had in hand", within_seconds=60)
    return said()
