"""Urgent lanes go first, between events, and never wait for a lower one."""

import asyncio

from schemas.lane import Lane
from streams.expander import GRACE_SECONDS, Turns


async def test_a_lower_lane_waits_while_an_urgent_one_has_work() -> None:
    turns, order = Turns(), []
    release = asyncio.Event()

    async def urgent() -> None:
        async with turns.of(Lane.IMMEDIATE):
            order.append("immediate begins")
            await release.wait()
            order.append("immediate ends")

    async def routine() -> None:
        async with turns.of(Lane.ROUTINE):
            order.append("routine")

    first = asyncio.create_task(urgent())
    await asyncio.sleep(0)
    second = asyncio.create_task(routine())
    await asyncio.sleep(3 * GRACE_SECONDS)
    assert order == ["immediate begins"]
    release.set()
    await asyncio.gather(first, second)
    assert order == ["immediate begins", "immediate ends", "routine"]


async def test_an_urgent_lane_does_not_wait_for_a_lower_one() -> None:
    turns = Turns()
    async with turns.of(Lane.ROUTINE), asyncio.timeout(10), turns.of(Lane.PRIORITY), turns.of(Lane.IMMEDIATE):
        pass


async def test_a_lower_lane_does_not_slip_in_between_two_urgent_events() -> None:
    turns = Turns()
    order: list[int | str] = []

    async def urgent() -> None:
        for number in range(5):
            async with turns.of(Lane.IMMEDIATE):
                await asyncio.sleep(0.002)
                order.append(number)
            await asyncio.sleep(0)

    async def routine() -> None:
        async with turns.of(Lane.ROUTINE):
            order.append("routine")

    work = asyncio.create_task(urgent())
    await asyncio.sleep(0)
    await asyncio.gather(work, asyncio.create_task(routine()))
    assert order == [0, 1, 2, 3, 4, "routine"]


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    turns = Turns()
    async with turns.of(Lane.IMMEDIATE):
        waiting = asyncio.create_task(_take(turns, Lane.PRIORITY))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(10), turns.of(Lane.ROUTINE):
        pass


async def _take(turns: Turns, lane: Lane) -> None:
    async with turns.of(lane):
        pass
