"""CPU and memory of processes, sampled from /proc while a benchmark runs."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from broadcast.clock import monotonic

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GONE = (FileNotFoundError, ProcessLookupError)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; field n of proc(5) is at n - 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(*GONE):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """User and system time so far; with `family` also of children, living and waited for."""
    try:
        fields = _stat(pid)
    except GONE:
        return 0.0
    own = int(fields[11]) + int(fields[12])
    if not family:
        return own * TICK_SECONDS
    waited = int(fields[13]) + int(fields[14])
    return (own + waited) * TICK_SECONDS + sum(cpu_seconds(child, family=True) for child in children(pid))


def resident_bytes(pid: int) -> int:
    """Resident set now; 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except GONE:
        return 0


def peak_bytes(pid: int) -> int:
    """The highest resident set since the process started (VmHWM); 0 for a process that is gone."""
    with suppress(*GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass
class Sampler:
    """Samples named processes every `interval_seconds` between `start` and `stop`.

    `processes` gives name → pid now (a restarted stage has a new one); names in `families` count their
    children too. `samples` holds (seconds since start, name → resident bytes, extra).
    """

    processes: Callable[[], Mapping[str, int]]
    families: frozenset[str] = frozenset({"postgres"})
    interval_seconds: float = 0.5
    observe: Callable[[], Mapping[str, float]] | None = None
    samples: list[dict[str, float]] = field(default_factory=list)
    _began: dict[str, float] = field(default_factory=dict)
    _began_at: float = 0.0
    _sampling: asyncio.Task[None] | None = None

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(pid, family=name in self.families) for name, pid in self.processes().items()}

    def start(self) -> None:
        """Begin: CPU counts from here."""
        self._began = self._cpu()
        self._began_at = monotonic()
        self._sampling = asyncio.create_task(self._sample())

    async def _sample(self) -> None:
        while True:
            sample: dict[str, float] = {"at_seconds": round(monotonic() - self._began_at, 3)}
            sample |= {f"{name}_bytes": resident_bytes(pid) for name, pid in self.processes().items()}
            sample |= self.observe() if self.observe else {}
            self.samples.append(sample)
            await asyncio.sleep(self.interval_seconds)

    def cpu(self) -> dict[str, float]:
        """CPU seconds since `start`, by name."""
        return {name: seconds - self._began.get(name, 0.0) for name, seconds in self._cpu().items()}

    def peaks(self) -> dict[str, int]:
        """Highest resident bytes of each process since it started."""
        return {name: peak_bytes(pid) for name, pid in self.processes().items()}

    async def stop(self) -> None:
        """End the sampling."""
        if self._sampling is not None:
            self._sampling.cancel()
            with suppress(asyncio.CancelledError):
                await self._sampling
