"""Duties that run until a stop or the first failure."""

import asyncio

import pytest

from broadcast.duties import run_duties, unless_stopped


class Journal:
    """Duties that note what happens to them."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.running = asyncio.Event()

    async def wait(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.notes.append("waiting ended")

    async def fail(self) -> None:
        await self.running.wait()
        raise OSError("the first")

    async def fail_when_cancelled(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("a later one")

    async def end(self) -> None:
        self.notes.append("returned")


async def test_a_stop_ends_every_duty_after_what_is_to_be_done_at_a_stop() -> None:
    journal, stop = Journal(), asyncio.Event()

    async def drain() -> None:
        journal.notes.append("drained")

    running = asyncio.create_task(run_duties(stop, {"one": journal.wait, "two": journal.wait}, on_stop=drain))
    await journal.running.wait()
    stop.set()
    await running
    assert journal.notes == ["drained", "waiting ended", "waiting ended"]


async def test_the_first_failure_ends_the_rest_and_is_raised() -> None:
    journal = Journal()
    drained = asyncio.Event()

    async def drain() -> None:
        drained.set()

    duties = {"waiting": journal.wait, "late": journal.fail_when_cancelled, "failing": journal.fail}
    with pytest.raises(OSError, match="the first"):
        await run_duties(asyncio.Event(), duties, on_stop=drain)
    assert journal.notes == ["waiting ended"]
    assert not drained.is_set()


async def test_a_failure_while_stopping_is_raised() -> None:
    journal, stop = Journal(), asyncio.Event()
    stop.set()
    with pytest.raises(OSError, match="the first"):
        await run_duties(stop, {"failing": journal.fail, "waiting": journal.wait}, on_stop=lambda: asyncio.sleep(0.05))


async def test_a_duty_that_returns_leaves_the_others_and_the_last_ends_the_work() -> None:
    journal, stop = Journal(), asyncio.Event()
    running = asyncio.create_task(run_duties(stop, {"short": journal.end, "long": journal.wait}))
    await journal.running.wait()
    await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    await running
    assert journal.notes == ["returned", "waiting ended"]
    await run_duties(asyncio.Event(), {"short": journal.end})


async def test_duties_have_names_and_end_with_whoever_runs_them() -> None:
    journal, names = Journal(), []

    async def name() -> None:
        task = asyncio.current_task()
        names.append(task.get_name() if task is not None else "")

    running = asyncio.create_task(run_duties(asyncio.Event(), {"control": name, "waiting": journal.wait}))
    await journal.running.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (names, journal.notes) == (["control"], ["waiting ended"])


async def test_an_action_is_cancelled_when_a_stop_comes_first() -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def act() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "done"

    asyncio.get_running_loop().call_soon(stop.set)
    async with asyncio.timeout(10.0):
        assert await unless_stopped(stop, act()) is None
    assert ended.is_set()


async def test_an_action_that_ends_first_gives_what_it_returns_or_raises() -> None:
    async def act(*, wrong: bool) -> str:
        if wrong:
            raise ValueError("wrong")
        return "done"

    assert await unless_stopped(asyncio.Event(), act(wrong=False)) == "done"
    with pytest.raises(ValueError, match="wrong"):
        await unless_stopped(asyncio.Event(), act(wrong=True))
