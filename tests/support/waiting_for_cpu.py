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
    """Seconds since its start, without those that any of some processes waited for a processor.

    What these processes do takes as long by this clock on a busy machine as by any clock on an idle one.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._begun = monotonic() - self._waited()

    def _waited(self) -> float:
        return sum(map(cpu_wait_seconds, self._pids))

    def seconds(self) -> float:
        """The time by this clock."""
        return monotonic() - self._waited() - self._begun
