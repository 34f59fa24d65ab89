"""A step of the sweep that waits for a lock: `/readyz` names who holds it.

If the lock is on the table of alarms, no alarm can be written meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
import structlog

from broadcast.database.lock_holders import LOOK_AFTER_SECONDS, LOOK_SECONDS, read_holders
from broadcast.database.pool import connect
from broadcast.health import Health
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

HOLD: Final = "sweep lock"
"""First words of the entry on `/readyz`; the step follows."""


@asynccontextmanager
async def naming_locks(settings: Settings, health: Health, step: str) -> AsyncIterator[None]:
    """Do a step within; while it waits for a lock, the process is not ready, and says who holds that.

    It is ready again when a step with this name comes to its end.
    """
    looking = asyncio.create_task(_name_holders(settings, health, step), name="step locks")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait((looking,))
    health.release(f"{HOLD}: {step}")


def forget_locks(health: Health) -> None:
    """Another recorder may sweep now: what this one waited for holds it no more."""
    for name in [name for name in health.holds if name.startswith(HOLD)]:
        health.release(name)


async def _name_holders(settings: Settings, health: Health, step: str) -> None:
    while True:
        await asyncio.sleep(LOOK_AFTER_SECONDS)
        # Whatever keeps the question from being asked: the step has a budget of its own.
        with suppress(OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
            async with asyncio.timeout(LOOK_SECONDS):
                connection = await connect(settings, "recorder")
                try:
                    holders = [str(holder) for holder in await read_holders(connection)]
                finally:
                    connection.terminate()
            if holders:
                log.warning("lock_awaited", what=f"sweep {step}", holders=holders)
                health.hold(
                    f"{HOLD}: {step}",
                    f"this step of the sweep waits for a lock that {', '.join(holders)} holds: alarms and completions "
                    "are late. Look at that session. If it does not go on, end it: SELECT pg_terminate_backend(PID)",
                )
