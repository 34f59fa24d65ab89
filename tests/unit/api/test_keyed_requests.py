"""What a request with a key takes of the event loop is measured, and delays the next, however it ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import count

import pytest

from broadcast.api.connections import keyed_requests
from broadcast.api.connections.key_turns import FIRST_SECONDS, READS_AT_ONCE, SHARES, Kind
from broadcast.api.connections.keyed_requests import KeyedRequests, Turn
from broadcast.clock import monotonic

ALERT = ("a", Kind.ALERT)
READ = ("a", Kind.READ)


def burn(seconds: float) -> None:
    """Take so much processor time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def burn_between_awaits() -> None:
    burn(0.02)
    await asyncio.sleep(0.01)
    burn(0.02)
    await asyncio.sleep(0)
    burn(0.02)


async def burn_and_fail() -> None:
    await burn_between_awaits()
    raise ZeroDivisionError


async def burn_in_cleaning_up() -> None:
    burn(0.03)
    try:
        await asyncio.Event().wait()
    finally:
        burn(0.03)


async def burn_after_a_fault_of_another() -> None:
    failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(failing.set_exception, LookupError())
    burn(0.03)
    with pytest.raises(LookupError):
        await failing
    burn(0.03)


WORKS = [burn_between_awaits, burn_and_fail, burn_in_cleaning_up, burn_after_a_fault_of_another]


async def run(turn: Turn, work: Awaitable[None]) -> None:
    """Run it; what never ends of itself is cancelled when it waits."""
    task = asyncio.ensure_future(turn.run(work))
    if getattr(work, "__name__", "") == burn_in_cleaning_up.__name__:
        while not turn.seconds:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return
    with suppress(ZeroDivisionError):
        await task


@pytest.mark.parametrize("work", WORKS)
async def test_a_turn_measures_what_its_work_takes_and_nothing_of_others(work: Callable[[], Awaitable[None]]) -> None:
    async def disturb() -> None:
        while True:
            burn(0.05)
            await asyncio.sleep(0)

    disturbing = asyncio.create_task(disturb())
    turn = Turn()
    await run(turn, work())
    disturbing.cancel()
    # Between two awaits others burned 0.05 s at least.
    assert 0.06 <= turn.seconds < 0.10


async def test_work_gets_what_it_awaits_and_its_fault_is_its_own() -> None:
    got: list[int] = []

    async def work() -> None:
        got.append(await asyncio.wait_for(asyncio.sleep(0, 7), 5))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Turn().run(work())
    assert got == [7]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("work", WORKS)
async def test_the_next_of_a_client_that_sends_one_at_a_time_waits_for_what_was_used(
    kind: Kind, work: Callable[[], Awaitable[None]]
) -> None:
    requests = KeyedRequests()
    async with requests.turn(("a", kind)) as turn:
        await run(turn, work())
    ended = monotonic()
    async with requests.turn(("a", kind)):
        assert monotonic() - ended >= SHARES[kind] * (0.06 - FIRST_SECONDS)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is unpaid, it is paid when the clock is read again."""
    monkeypatch.setattr(keyed_requests, "monotonic", count(0.0, 100.0).__next__)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("begun", [False, True], ids=["waits", "as its turn begins"])
async def test_who_is_cancelled_leaves_the_turn_to_the_next(*, begun: bool) -> None:
    requests = KeyedRequests()

    async def serve() -> None:
        async with requests.turn(READ) as turn:
            await turn.run(asyncio.sleep(0))

    async with AsyncExitStack() as in_work:
        for _ in range(READS_AT_ONCE):
            await in_work.enter_async_context(requests.turn(READ))
        gone, *left = [asyncio.create_task(serve()) for _ in range(READS_AT_ONCE + 1)]
        await asyncio.sleep(0)
        if not begun:
            gone.cancel()
    gone.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(*left)
        with pytest.raises(asyncio.CancelledError):
            await gone
        # All places are free again.
        async with AsyncExitStack() as in_work:
            for _ in range(READS_AT_ONCE):
                await in_work.enter_async_context(requests.turn(READ))


@pytest.mark.usefixtures("no_pause")
async def test_a_turn_ends_though_its_work_fails() -> None:
    requests = KeyedRequests()
    async with asyncio.timeout(10):
        for _ in range(READS_AT_ONCE + 1):
            with pytest.raises(ZeroDivisionError):
                async with requests.turn(READ):
                    raise ZeroDivisionError
