"""That Kafka has lost records is an alarm that stays, before the stage that found it ends."""

import asyncio
from typing import Any

import pytest

from broadcast.alarms import LOST_TAIL
from broadcast.database import create_pool
from broadcast.errors import LostTailError
from broadcast.settings import Settings
from streams.app import run_stage


class Finder:
    """A stage that finds its log cut."""

    name = "planner"

    async def run(self, _: asyncio.Event) -> None:
        raise LostTailError("broadcast.alerts.v1 0 ends at 2, and 5 was read", "broadcast.alerts.v1/0")


async def test_a_loss_is_an_alarm_before_it_is_an_error(database_url: str) -> None:
    pool = await create_pool(Settings(database_url=database_url))
    finder: Any = Finder()
    try:
        with pytest.raises(LostTailError):
            await run_stage(finder, pool, asyncio.Event())
        [row] = await pool.fetch("SELECT kind, subject, detail FROM alarms")
    finally:
        await pool.close()
    assert (row["kind"], row["subject"]) == (LOST_TAIL, "planner broadcast.alerts.v1/0")
    assert "ends at 2, and 5 was read" in row["detail"]
