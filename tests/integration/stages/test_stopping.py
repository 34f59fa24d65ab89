"""Every stage ends when it is told to, although nothing that it needs is there."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from broadcast.process import STOP_LIMIT_SECONDS
from broadcast.stages import STREAMS

ROOT = Path(__file__).parents[3]
NOWHERE = "127.0.0.1:1"
ROUTES = """
[[routes]]
name = "sim"
prefixes = ["+"]
[[routes.accounts]]
name = "a"
host = "127.0.0.1"
port = 1
system_id = "a"
"""


@pytest.mark.parametrize("stage", STREAMS)
async def test_a_stop_ends_a_stage_that_waits_for_its_servers(stage: str, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(ROUTES)
    environment = {
        "PATH": os.environ["PATH"],
        "BROADCAST_KAFKA_BOOTSTRAP": NOWHERE,
        "BROADCAST_DATABASE_URL": f"postgresql://nobody@{NOWHERE}/nothing",
        "BROADCAST_ROUTES_FILE": str(tmp_path / "routes.toml"),
        "BROADCAST_DATA_DIR": str(tmp_path),
        "BROADCAST_LOG_FORMAT": "json",
        "BROADCAST_NUMBER_HASH_KEY": "k" * 32,
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streams", stage), env=environment, stdout=file, stderr=file, cwd=ROOT
        )
    try:
        async with asyncio.timeout(30):
            while len(re.findall("service_awaited|_away|is away", log.read_text())) < 2:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_LIMIT_SECONDS):
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    assert code == 0, log.read_text()
    assert '"process_stopped"' in log.read_text()
