"""Planner and expander as processes, both killed with -9 again and again: publish to jobs, each exactly once."""

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from broadcast.settings import Settings
from schemas.job import Job

from ..control import Control, add_recipients, alert_content, control, id_of

ROOT = Path(__file__).parents[3]
ALERTS = 30
PEOPLE = 60
KILLS = 6


async def start(stage: Control, name: str) -> asyncio.subprocess.Process:
    settings = stage.settings
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "BROADCAST_SLOT": "one",
        "BROADCAST_DATA_DIR": str(settings.data_dir),
        "BROADCAST_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "BROADCAST_TOPIC_PREFIX": settings.topic_prefix,
        "BROADCAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "BROADCAST_ROUTES_FILE": str(settings.routes_file),
        "BROADCAST_EXPANSION_PARTITIONS": str(settings.expansion_partitions),
        "BROADCAST_CHUNK_SIZE": str(settings.chunk_size),
        "BROADCAST_NUMBER_HASH_KEY": "k" * 32,
    }
    log = (settings.data_dir / f"{name}.log").open("ab")
    with log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streams", name), env=environment, cwd=ROOT, stdout=log, stderr=log
        )


@pytest.mark.timeout(240)
async def test_kills_between_publish_and_jobs_lose_and_double_nothing(settings: Settings) -> None:
    async with control(settings, chunk_size=10) as stage:
        await add_recipients(stage.connection, "riverside", PEOPLE)
        contents = [alert_content(["riverside"]) for _ in range(ALERTS)]
        await stage.put("alerts.v1", *contents)
        dice = random.Random(3)
        processes = {name: await start(stage, name) for name in ("planner", "expander")}
        seen, kills = 0, 0
        try:
            async with asyncio.timeout(200):
                while (count := len(await stage.read("jobs.sim.immediate.v1"))) < ALERTS * PEOPLE:
                    states = await stage.connection.fetchval("SELECT count(*) FROM alerts WHERE state = 'sending'")
                    if kills < KILLS and count > seen:
                        name = ("planner", "expander")[kills % 2]
                        await asyncio.sleep(dice.uniform(0, 0.2))
                        processes[name].kill()
                        await processes[name].wait()
                        processes[name] = await start(stage, name)
                        kills, seen = kills + 1, count
                    assert states <= ALERTS
                    await asyncio.sleep(0.2)
        finally:
            for process in processes.values():
                process.kill()
                await process.wait()
        assert kills >= KILLS - 2, "the broadcast was over before it could be disturbed"
        jobs = [msgspec.json.decode(r.value, type=Job) for r in await stage.read("jobs.sim.immediate.v1")]
        found = Counter((job.alert_id, job.recipient_id) for job in jobs)
        assert set(found.values()) == {1}
        assert len(found) == ALERTS * PEOPLE
        for content in contents:
            row = await stage.row(id_of(content))
            assert row is not None
            assert (row["state"], row["audience"]) == ("sending", PEOPLE)
