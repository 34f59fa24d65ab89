"""The processes of a stack beside its servers: the simulator, the API and the stages, watched and stopped in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from broadcast.embedded.errors import EmbeddedError
from broadcast.embedded.processes.child import Check, Process
from broadcast.embedded.processes.probes import read_report
from broadcast.embedded.processes.supervisor import Restart, Supervised
from broadcast.stages import STOP_ORDER, STREAMS, arguments_of

PACKAGES = Path(__file__).parents[2]
SIMULATOR = "smsc"


class StageState(NamedTuple):
    """What stages say on `/readyz`, by name: what keeps them from working, what limits them, and facts.

    `starting` are those that have not said yet of everything how it is.
    """

    holds: dict[str, str]
    degraded: dict[str, str]
    facts: dict[str, str]
    starting: set[str]

    @property
    def missing(self) -> dict[str, str]:
        """What keeps the stages from working, and what limits them."""
        return self.holds | self.degraded


class StageProcesses:
    """Processes by name, each started again when it dies; their logs are in `directory`/logs."""

    def __init__(self, directory: Path, on_restart: Callable[[Restart], None]) -> None:
        """`directory` is where they run."""
        self._directory = directory
        self._on_restart = on_restart
        self._supervised: dict[str, Supervised] = {}

    @property
    def by_name(self) -> Mapping[str, Supervised]:
        """All of them, the simulator among them."""
        return self._supervised

    def find(self, name: str) -> Supervised:
        """The process of that name; raises EmbeddedError when none was started."""
        if name not in self._supervised:
            raise EmbeddedError(f"no stage {name!r} was started; there are: {', '.join(self._supervised) or 'none'}")
        return self._supervised[name]

    def start(self, name: str, words: Sequence[str], check: Check, environment: Mapping[str, str]) -> Supervised:
        """Start Python with these words; `environment` is added to ours, `check` says whether it is ready."""
        path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
        process = Process(
            name,
            [sys.executable, *words],
            log_file=self._directory / "logs" / f"{name}.log",
            environment={**os.environ, **environment, "PYTHONPATH": path},
            directory=self._directory,
        )
        supervised = Supervised(process, check, on_restart=self._on_restart)
        self._supervised[name] = supervised
        supervised.start()
        return supervised

    async def wait_ready(self) -> None:
        """Wait until all are ready."""
        await asyncio.gather(*(process.wait_ready() for process in self._supervised.values()))

    async def read_state(self, port_of: Callable[[str], int]) -> StageState | None:
        """What all stages say of themselves on these ports; None while one does not answer."""
        state = StageState({}, {}, {}, set())
        for name in self._supervised:
            if name in STREAMS:
                report = await read_report(port_of(name))
                if report is None:
                    return None
                state.holds.update(report["holds"])
                state.degraded.update(report["degraded"])
                state.facts.update(report["facts"])
                if not report["started"]:
                    state.starting.add(name)
        return state

    def reload_routes(self) -> None:
        """Have the senders read the routes file again, without a restart."""
        for supervised in self._supervised.values():
            if supervised.process.command[1:] == list(arguments_of("sender")) and supervised.running:
                supervised.kill(signal.SIGHUP)

    async def stop(self) -> None:
        """End all in the order of a stop, the simulator last, each within its budget."""
        known = {name for group in STOP_ORDER for name in group} | {SIMULATOR}
        extra = tuple(name for name in self._supervised if name not in known)
        for group in (extra, *STOP_ORDER, (SIMULATOR,)):
            await asyncio.gather(*(self._supervised[name].stop() for name in group if name in self._supervised))

    async def kill_remains(self) -> None:
        """Kill what a stop that was interrupted left behind."""
        for supervised in self._supervised.values():
            if supervised.running:
                await supervised.process.kill_all()
