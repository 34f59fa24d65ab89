"""Large alerts are read one after the other, and not without end."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from broadcast.api.documents.reading_turns import WAITING_MAX, ReadingTurns
from broadcast.api.problems import Problem


@pytest.fixture
async def turns() -> AsyncIterator[ReadingTurns]:
    made = ReadingTurns()
    yield made
    made.close()


async def test_small_ones_go_before_large_ones_and_too_many_are_told_when_to_come_back(turns: ReadingTurns) -> None:
    gate = threading.Event()
    order: list[int] = []
    first = asyncio.create_task(turns.run(1, lambda: gate.wait(10)))
    await asyncio.sleep(0)
    sizes = [500_000, 100, *range(1_000, 1_000 + WAITING_MAX - 2)]
    waiting = [asyncio.create_task(turns.run(size, partial(order.append, size))) for size in sizes]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as caught:
        await turns.run(1, lambda: None)
    assert (int(caught.value.status), caught.value.headers) == (503, {"Retry-After": "5"})
    gate.set()
    await asyncio.gather(first, *waiting)
    assert order == sorted(sizes)


async def test_what_nobody_waits_for_any_more_takes_no_turn(turns: ReadingTurns) -> None:
    gate = threading.Event()
    done: list[str] = []
    first = asyncio.create_task(turns.run(1, lambda: gate.wait(10)))
    await asyncio.sleep(0)
    gone, left = (asyncio.create_task(turns.run(1, partial(done.append, name))) for name in ("gone", "left"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    await asyncio.sleep(0)
    assert not left.done(), "the thread is still at work for the first"
    gate.set()
    await left
    assert done == ["left"]


async def test_a_fault_is_its_own(turns: ReadingTurns) -> None:
    with pytest.raises(ZeroDivisionError):
        await turns.run(1, lambda: 1 // 0)
    assert await turns.run(1, lambda: 7) == 7
