"""Running something that Ctrl-C or SIGTERM ends in order: the work is cancelled, and cleans up, once."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(Exception):
    """The work was ended by a signal, and everything it had started has ended."""


def has_terminal() -> bool:
    """Whether this process has a terminal that can stop it; it has none any more after a hangup."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def run_interruptible(work: Coroutine[object, object, T]) -> T:
    """Run `work` to its end; the first signal cancels it, later ones are left unheard while it cleans up."""

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (we are in it)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                task.cancel()

        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        try:
            return await work
        except asyncio.CancelledError:
            if interrupted:
                raise InterruptedRunError from None
            raise

    return asyncio.run(guarded())
