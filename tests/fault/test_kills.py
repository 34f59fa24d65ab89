"""kill -9 of every stage at random moments, and clean restarts: nobody lost, nobody spammed without a mark."""

import asyncio
import random
from uuid import UUID

import pytest

from broadcast.clock import monotonic
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.kills import EVERYONE, kill_in_a_broadcast, order_of
from tests.fault.system import COMMON, FAST, SLOW, SystemUnderTest

RECIPIENTS = 20_000
RESTARTED = 4_800
MANY, SMALL = 12, 100
TRIES = 5

SYSTEM = COMMON

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_killed_stages_lose_nobody(system: SystemUnderTest, seed: int) -> None:
    """20 kills and more over 20,000 recipients."""
    await kill_in_a_broadcast(
        system,
        seed,
        name="random kills",
        recipients=RECIPIENTS,
        rounds_first=2,
        rounds=3,
        hits_at_least=20,
        budget_seconds=90,
    )


async def test_clean_restarts_double_and_mark_nothing(system: SystemUnderTest, seed: int) -> None:
    """SIGTERM to each stage while it works."""
    chance = random.Random(seed)
    began_at = monotonic()
    await system.begin(RESTARTED + len(EVERYONE) * TRIES * MANY * SMALL)
    await system.pace(SLOW)
    alerts = [await system.publish(system.alert(RESTARTED, Lane.PRIORITY))]
    hits = 0
    publishing: list[asyncio.Task[list[UUID]]] = []
    for stage in order_of(EVERYONE, 1, chance):
        await system.ready(stage)
        for _ in range(0 if stage == "api" else TRIES):
            # Meanwhile, because they are soon done with it.
            small = [system.alert(SMALL, Lane.IMMEDIATE) for _ in range(MANY)]
            publishing.append(asyncio.create_task(system.produce(small)))
            if await system.work.wait(stage, budget_seconds=1):
                hits += 1
                break
            await publishing[-1]
        code = await system.stack.stage(stage).restart()
        assert code == 0, f"{stage} ended with {code} on SIGTERM: {system.log_of(stage)[-1500:]}"
    await system.ready()
    await system.pace(FAST)

    for produced in await asyncio.gather(*publishing):
        alerts += produced
    await wait_final(system, alerts, budget_seconds=60)
    entry = report.Entry(
        test="clean restarts", kills=len(EVERYONE), hits=hits, seconds=monotonic() - began_at, seed=seed
    )
    await report.conclude(system, alerts, entry, marks_at_most=0)
    assert (await system.simulator("/stats"))["duplicates"] == 0
    assert hits >= 3, f"{hits} of {len(EVERYONE)} restarts met unfinished work"
