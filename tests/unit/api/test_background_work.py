"""Background work without which requests fail begins again, whatever ended it."""

import asyncio

import pytest

from broadcast.api import server


async def test_work_that_fails_or_ends_is_logged_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RESTART_SECONDS", 0.0)
    endings = iter([RuntimeError("odd"), None])
    running = asyncio.Event()

    async def work() -> None:
        ending = next(endings, running)
        if isinstance(ending, Exception):
            raise ending
        if ending is running:
            running.set()
            await asyncio.Event().wait()

    said: list[tuple[str, str]] = []
    monkeypatch.setattr(server.log, "exception", lambda event, work: said.append((event, work)), raising=False)
    keeping = asyncio.create_task(server._keep("publisher", work))
    async with asyncio.timeout(2):
        await running.wait()
    keeping.cancel()
    assert said == [("background_work_failed", "publisher")]
