"""Running `broadcast` as a person does: a process of its own, in a directory of its own, found again by a mark."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

ROOT = Path(__file__).parents[2]
MARK = "TOCSIN_TEST_RUN"
"""In the environment of everything that a run starts, however deep."""
COMMAND_SECONDS = 60.0
GONE_SECONDS = 20.0


class Person:
    """Somebody with a terminal: a working directory, a place for temporary files, and settings."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.mark = uuid4().hex
        self.work, self.temporary = directory / "work", directory / "tmp"
        for made in (self.work, self.temporary):
            made.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BROADCAST_")}
        kept |= {name: os.environ[name] for name in ("BROADCAST_CACHE_DIR",) if name in os.environ}
        self.environment = kept | settings | {MARK: self.mark, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}

    async def start(self, *words: str | Path) -> Process:
        """`broadcast WORDS...`, running."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "broadcast", *map(str, words)),
            cwd=self.work,
            env=self.environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def run(
        self, *words: str | Path, code: int = 0, timeout_seconds: float = COMMAND_SECONDS, given: bytes | None = None
    ) -> str:
        """What `broadcast WORDS...` prints; fails with all it said if it ends with another code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "broadcast", *map(str, words)),
            cwd=self.work,
            env=self.environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(timeout_seconds):
            out, err = await process.communicate(given)
        said = f"broadcast {' '.join(map(str, words))} ended with {process.returncode}: {out!r} {err!r}"
        assert process.returncode == code, said
        return out.decode()

    async def ask(self, *words: str | Path, code: int = 0, given: bytes | None = None) -> Any:
        """The one JSON value that a command prints."""
        return json.loads(await self.run(*words, code=code, given=given))

    def processes(self) -> list[psutil.Process]:
        """Everything that this person's commands have started and that still lives."""
        return [process for process in psutil.process_iter() if _is_marked(process, self.mark)]

    def command_lines(self) -> list[list[str]]:
        """The words of each of them."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                found.append(process.cmdline())
        return found

    async def check_gone(self) -> None:
        """Nothing that was started still runs, and no temporary file is left."""
        try:
            async with asyncio.timeout(GONE_SECONDS):
                while self.processes():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            left = [" ".join(words[:6]) for words in self.command_lines()]
            raise AssertionError(f"{len(left)} processes are left: {left[:5]}") from None
        assert names_of(self.temporary.iterdir()) == []

    async def end(self, process: Process) -> None:
        """Whatever happened: nothing of this person's stays."""
        if process.returncode is None:
            process.kill()
        await process.wait()
        for left in self.processes():
            with suppress(psutil.NoSuchProcess):
                left.kill()


def names_of(paths: Iterable[Path]) -> list[str]:
    """File names in order."""
    return sorted(path.name for path in paths)


def unused_memory() -> set[str]:
    """PostgreSQL's shared memory that no process has mapped: what a server that ended has left."""
    used = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            used.update(re.findall(r"/dev/shm/PostgreSQL\S+", maps.read_text()))
    return {str(path) for path in Path("/dev/shm").glob("PostgreSQL*")} - used


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
