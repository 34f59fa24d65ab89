"""Running `broadcast` as a person does: a process of its own, in a directory of its own, found again by a mark."""

import asyncio
import json
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil

from tests.support.children import ending_with_us

ROOT = Path(__file__).parents[2]
MARK = "TOCSIN_TEST_RUN"
"""In the environment of everything that a run starts, however deep."""
COMMAND_SECONDS = 60.0
UP_SECONDS = 90.0
"""From the start of a stack until it has printed what is waited for."""
TOLD_SECONDS = 60.0
"""Until an operator is told."""
GONE_SECONDS = 20.0

ROUTE = """
[[routes]]
name = "{name}"
prefixes = ["{prefix}"]
{of_route}
[[routes.accounts]]
name = "{account}"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
simulated = true
{of_account}
"""


def route_text(
    port: int,
    *,
    name: str = "simulated",
    prefix: str = "+",
    account: str = "operator",
    of_route: str = "",
    of_account: str = "",
) -> str:
    """A route of a routes file whose one account is the simulator on a port; more lines of the route and of it."""
    return ROUTE.format(name=name, prefix=prefix, account=account, port=port, of_route=of_route, of_account=of_account)


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
            *ending_with_us("-m", "broadcast", *map(str, words)),
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
            *ending_with_us("-m", "broadcast", *map(str, words)),
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


class Printed:
    """What a running command prints on one of its streams, line by line."""

    def __init__(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        self._stream = stream
        self.lines: list[str] = []

    async def until(self, wanted: Callable[[str], bool]) -> str:
        """The first new line that is wanted."""
        async with asyncio.timeout(UP_SECONDS):
            while True:
                line = (await self._stream.readline()).decode()
                assert line, f"it has ended: {self.lines}"
                self.lines.append(line)
                if wanted(line):
                    return line

    async def until_said(self, words: str) -> None:
        """Wait for these words, unless they were printed before."""
        if not any(words in line for line in self.lines):
            await self.until(lambda line: words in line)


async def sender_report(printed: Printed) -> tuple[int, dict[str, Any]]:
    """Status and body of the sender's `/readyz`, at the address that `up` has printed."""
    [url] = [line.split()[1] for line in printed.lines if line.endswith("/metrics (sender)\n")]
    async with httpx.AsyncClient() as http:
        answer = await http.get(url.replace("/metrics", "/readyz"))
        return answer.status_code, answer.json()


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
