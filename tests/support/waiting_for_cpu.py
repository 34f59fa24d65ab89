"""Time as processes have it: what they wait for a processor, on a busy machine, does not count."""

from collections.abc import Sequence
from pathlib import Path

from broadcast.clock import monotonic

NANOSECONDS = 1e9


def cpu_wait_seconds(pid: int) -> float:
    """Seconds in which the main thread of a process was ready to run, and no processor was free. 0 if it has ended.

    Source: Linux, Documentation/scheduler/sched-stats.rst.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / NANOSECONDS
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


class ProcessClock:
    """Seconds since its start, without those in which processes waited for a processor; it never goes back.

    Between two looks it leaves out what the process waited that waited longest. So what these processes do takes about
    as long by this clock on a busy machine as by any clock on an idle one.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._waited = {pid: cpu_wait_seconds(pid) for pid in pids}
        self._looked_at = monotonic()
        self._seconds = 0.0

    def seconds(self) -> float:
        """The time by this clock."""
        now, before = monotonic(), self._waited
        self._waited = {pid: cpu_wait_seconds(pid) for pid in before}
        waited = max(self._waited[pid] - before[pid] for pid in before)
        # What a process waited is written when it gets its processor: perhaps more than since the last look.
        self._seconds += max(0.0, now - self._looked_at - max(0.0, waited))
        self._looked_at = now
        return self._seconds
