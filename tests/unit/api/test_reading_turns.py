"""Large alerts are read one after the other, and not without end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from broadcast.api.documents.reading_process import ReadingProcess
from broadcast.api.documents.reading_turns import WAITING_MAX, ReadingTurns
from broadcast.api.problems import Problem


class Reader(ReadingProcess):
    """Answers here, and not before it may; `most` were asked of it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.at_work = self.most = 0

    async def call(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.may_answer.wait()
            return function(*arguments)
        finally:
            self.at_work -= 1


@pytest.fixture
async def reader() -> Reader:
    return Reader()


@pytest.fixture
async def turns(reader: Reader) -> AsyncIterator[ReadingTurns]:
    made = ReadingTurns(reader)
    yield made
    await made.close()


async def test_small_ones_go_before_large_ones_and_too_many_are_told_when_to_come_back(
    turns: ReadingTurns, reader: Reader
) -> None:
    order: list[int] = []
    first = asyncio.create_task(turns.run(1, int))
    await asyncio.sleep(0)
    sizes = [500_000, 100, *range(1_000, 1_000 + WAITING_MAX - 2)]
    waiting = [asyncio.create_task(turns.run(size, partial(order.append, size))) for size in sizes]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as caught:
        await turns.run(1, lambda: None)
    assert (int(caught.value.status), caught.value.headers) == (503, {"Retry-After": "5"})
    reader.may_answer.set()
    await asyncio.gather(first, *waiting)
    assert order == sorted(sizes)


async def test_what_nobody_waits_for_any_more_takes_no_turn(turns: ReadingTurns, reader: Reader) -> None:
    done: list[str] = []
    first = asyncio.create_task(turns.run(1, int))
    await asyncio.sleep(0)
    gone, left = (asyncio.create_task(turns.run(1, partial(done.append, name))) for name in ("gone", "left"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    await asyncio.sleep(0)
    assert not left.done(), "the process is still at work for the first"
    reader.may_answer.set()
    await left
    assert (done, reader.most) == (["left"], 1)


async def test_a_turn_that_comes_as_its_request_ends_goes_to_the_next(turns: ReadingTurns, reader: Reader) -> None:
    done: list[str] = []
    first = asyncio.create_task(turns.run(1, int))
    await asyncio.sleep(0)
    gone, left = (asyncio.create_task(turns.run(1, partial(done.append, name))) for name in ("gone", "left"))
    await asyncio.sleep(0)
    assert turns._working is not None
    turns._working.add_done_callback(lambda _: gone.cancel())
    reader.may_answer.set()
    await first
    async with asyncio.timeout(5):
        await left
    assert (done, gone.cancelled(), reader.most) == (["left"], True, 1)


async def test_a_fault_is_its_own(turns: ReadingTurns, reader: Reader) -> None:
    reader.may_answer.set()
    with pytest.raises(ZeroDivisionError):
        await turns.run(1, lambda: 1 // 0)
    assert await turns.run(1, lambda: 7) == 7
