"""Background work without which requests fail begins again, whatever ended it."""

import asyncio

from structlog.testing import capture_logs

from broadcast.api import server


async def test_work_that_fails_or_ends_is_logged_and_begins_again() -> None:
    endings = iter([RuntimeError("odd"), None])
    running = asyncio.Event()

    async def work() -> None:
        ending = next(endings, running)
        if isinstance(ending, Exception):
            raise ending
        if ending is running:
            running.set()
            await asyncio.Event().wait()

    with capture_logs() as logs:
        keeping = asyncio.create_task(server._keep("publisher", work, pause_seconds=0.0))
        async with asyncio.timeout(10):
            await running.wait()
    keeping.cancel()
    assert [(entry["event"], entry["work"]) for entry in logs] == [("background_work_failed", "publisher")]
