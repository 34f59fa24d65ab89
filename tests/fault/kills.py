"""Kills at random moments, each aimed at a stage that holds unfinished work, while alerts keep coming."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from broadcast.clock import monotonic
from schemas.alert import Alert
from schemas.lane import LANES, Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.system import IN_DOUBT_LIMIT, SystemUnderTest

OTHERS = ("planner", "expander", "recorder", "api")
EVERYONE = (*OTHERS, "sender")
BURST = 5
"""Small alerts published at once, so that the planner and the expander have something to lose."""
SMALL = 100
SLICE = 1_000
"""Recipients of an alert that is published when a sender or recorder that is to be killed has nothing to do."""
WORK_BUDGET_SECONDS = 5.0
"""From an alert event to a job or status, while the planner or the expander may be starting."""
IDLE_SECONDS = 0.2
MOMENT_SECONDS = 0.05
"""A batch of the recorder, a beat of the sender and an event of the planner take about as long."""
API_MOMENT_SECONDS = 0.01
"""A POST to an idle API takes about as long."""


@dataclass
class Kills:
    """Kills stages of a system and keeps count; publishes small alerts to aim at the control plane."""

    system: SystemUnderTest
    chance: random.Random
    recipients: int
    """how many all alerts together are to address"""
    addressed: int = 0
    alerts: list[UUID] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    publishing: set[asyncio.Task[UUID]] = field(default_factory=set)

    async def kill(self, stage: str) -> None:
        """SIGKILL to a stage at a random moment in its work, and start it again at once."""
        system = self.system
        await system.ready(stage)
        await self._aim(stage)
        await asyncio.sleep(self.chance.uniform(0, API_MOMENT_SECONDS if stage == "api" else MOMENT_SECONDS))
        supervised = system.stack.stage(stage)
        in_flight = any(not task.done() for task in self.publishing)
        await supervised.kill9(leave_dead=True)
        hit = in_flight if stage == "api" else await system.work.holds(stage)
        supervised.start()
        self.killed[stage] += 1
        self.hit[stage] += hit

    async def publish(self, count: int, lane: Lane) -> None:
        """Publish an alert to as many fresh recipients, or to those that are left."""
        count = min(count, self.left)
        if count > 0:
            self.alerts.append(await self.system.publish(self._alert(count, lane)))

    async def finish(self) -> None:
        """Publish to everybody who is left, and wait for what is being published."""
        self.alerts += await asyncio.gather(*self.publishing)
        self.publishing.clear()
        await self.publish(self.left, Lane.PRIORITY)

    @property
    def left(self) -> int:
        """Recipients whom no alert has addressed yet."""
        return self.recipients - self.addressed

    def _alert(self, count: int, lane: Lane) -> Alert:
        self.addressed += count
        return self.system.alert(count, lane)

    async def _aim(self, stage: str) -> None:
        """Give the stage something to lose."""
        if stage in ("planner", "expander"):
            self.alerts += await self.system.produce(self._burst())
        elif stage == "api":
            self.publishing |= {asyncio.create_task(self.system.publish(alert)) for alert in self._burst()}
            return
        elif not await self.system.work.wait(stage, budget_seconds=IDLE_SECONDS):
            await self.publish(SLICE, Lane.PRIORITY)
        await self.system.work.wait(stage, budget_seconds=WORK_BUDGET_SECONDS)

    def _burst(self) -> list[Alert]:
        count = min(BURST, self.left // SMALL)
        return [self._alert(SMALL, lane) for lane in self.chance.choices(LANES, k=count)]


async def kill_in_a_broadcast(
    system: SystemUnderTest,
    seed: int,
    *,
    name: str,
    recipients: int,
    rounds_first: int,
    rounds: int,
    hits_at_least: int,
    budget_seconds: float,
    long: bool = False,
) -> None:
    """Kill each stage so many times while alerts reach `recipients`; then everybody is accounted for.

    The first rounds leave the sender alone, and nothing may be doubled by then. Kills that found nothing to do are
    made up for.
    """
    chance = random.Random(seed)
    began_at = monotonic()
    await system.begin(recipients)
    kills = Kills(system, chance, recipients)
    await kills.publish(recipients // 5, Lane.PRIORITY)

    for stage in order_of(OTHERS, rounds_first, chance):
        await kills.kill(stage)
    doubled = (await system.simulator("/stats"))["duplicates"]
    assert doubled == 0, f"{doubled} duplicates after kills of {dict(kills.killed)}"
    for stage in order_of(EVERYONE, rounds, chance):
        await kills.kill(stage)
    while kills.hit.total() < hits_at_least and kills.left > 0:
        await kills.kill(chance.choice(EVERYONE))
    await kills.finish()

    await wait_final(system, kills.alerts, budget_seconds=budget_seconds)
    allowed = IN_DOUBT_LIMIT * kills.killed["sender"]
    entry = report.Entry(
        test=name,
        kills=kills.killed.total(),
        hits=kills.hit.total(),
        allowed=allowed,
        seconds=monotonic() - began_at,
        seed=seed,
        note=" ".join(f"{stage} {kills.hit[stage]}/{kills.killed[stage]}" for stage in EVERYONE),
        long=long,
    )
    account = await report.conclude(system, kills.alerts, entry)
    assert kills.hit.total() >= hits_at_least, f"only {dict(kills.hit)} of {dict(kills.killed)} kills met work"
    assert kills.hit["sender"] > 0
    assert account.audience == recipients


def order_of(stages: Sequence[str], rounds: int, chance: random.Random) -> list[str]:
    """Every stage so many times, in random order."""
    stages = list(stages) * rounds
    chance.shuffle(stages)
    return stages
