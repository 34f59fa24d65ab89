"""kill -9 of every stage at random moments, and clean restarts: nobody lost, nobody spammed without a mark."""

import asyncio
import random
from uuid import UUID

import pytest

from broadcast.clock import monotonic
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import draw_up, wait_final
from tests.fault.harness import COMMON, FAST, SLOW, Scene
from tests.fault.kills import EVERYONE, kill_in_a_broadcast, order_of

RECIPIENTS = 20_000
RESTARTED = 4_800
MANY, SMALL = 12, 100
TRIES = 5

SCENE = COMMON

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_killed_stages_lose_nobody(scene: Scene, seed: int) -> None:
    """20 kills and more over 20,000 recipients."""
    await kill_in_a_broadcast(
        scene,
        seed,
        name="random kills",
        recipients=RECIPIENTS,
        rounds_first=2,
        rounds=3,
        hits_at_least=20,
        budget_seconds=90,
    )


async def test_clean_restarts_double_and_mark_nothing(scene: Scene, seed: int) -> None:
    """SIGTERM to each stage while it works."""
    chance = random.Random(seed)
    began_at = monotonic()
    await scene.pace(SLOW)
    seen_before = (await scene.simulator("/stats"))["duplicates"]
    alerts = [await scene.publish(scene.alert(RESTARTED, Lane.PRIORITY))]
    hits = 0
    publishing: list[asyncio.Task[list[UUID]]] = []
    for stage in order_of(EVERYONE, 1, chance):
        await scene.ready(stage)
        for _ in range(0 if stage == "api" else TRIES):
            # Meanwhile, because they are soon done with it.
            small = [scene.alert(SMALL, Lane.IMMEDIATE) for _ in range(MANY)]
            publishing.append(asyncio.create_task(scene.produce(small)))
            if await scene.work.wait(stage, budget_seconds=1):
                hits += 1
                break
            await publishing[-1]
        code = await scene.stack.stage(stage).restart()
        assert code == 0, f"{stage} ended with {code} on SIGTERM: {scene.log_of(stage)[-1500:]}"
    await scene.ready()
    await scene.pace(FAST)

    for produced in await asyncio.gather(*publishing):
        alerts += produced
    await wait_final(scene, alerts, budget_seconds=60)
    account = await draw_up(scene, alerts)
    entry = report.Entry(
        test="clean restarts", kills=len(EVERYONE), hits=hits, seconds=monotonic() - began_at, seed=seed
    )
    report.add(entry, account)
    account.check(marks_at_most=0)
    assert (await scene.simulator("/stats"))["duplicates"] == seen_before
    assert hits >= 3, f"{hits} of {len(EVERYONE)} restarts met unfinished work"
