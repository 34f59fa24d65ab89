"""Keeps one process running: restarts it when it dies, with a pause that grows, and says so."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass

from broadcast.clock import monotonic
from broadcast.embedded.errors import EmbeddedError, StartError
from broadcast.embedded.processes.child import READY_POLL_SECONDS, Check, Process
from broadcast.embedded.servers.server import Server
from broadcast.errors import FENCED_EXIT_CODE

FENCED_PAUSE_SECONDS = 5.0
"""Another process holds this one's place: half a session gives it time to finish, or to lose it."""
PAUSES_SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before the n-th restart in a row; the last one from then on. The first is at once: most deaths come alone.

No jitter: each process has its own supervisor, and a test of kills counts on the first being at once."""
STEADY_SECONDS = 30.0
"""A run of this length ends the row."""
READY_SECONDS = 60.0
STOP_SECONDS = 8.0
"""A sender drains for 2 s and beats once more; the others need less."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One death and what follows: `code` is negative for a signal."""

    stage: str
    code: int
    pause_seconds: float
    restarts: int


def pause_before_restart(code: int, deaths_in_a_row: int) -> float:
    """Seconds to wait after a run that ended with `code`, when `deaths_in_a_row` went before it."""
    if code == FENCED_EXIT_CODE:
        return FENCED_PAUSE_SECONDS
    return PAUSES_SECONDS[min(deaths_in_a_row, len(PAUSES_SECONDS) - 1)]


async def keep_server(server: Server, on_restart: Callable[[Restart], None], on_failure: Callable[[str], None]) -> None:
    """Start an embedded server again whenever it dies, until cancelled; the same pauses as for a stage.

    `on_failure` hears why a start did not come about; it is tried again.
    """
    deaths_in_a_row = restarts = 0
    while True:
        began_at = monotonic()
        code = await server.process.wait()
        if monotonic() - began_at > STEADY_SECONDS:
            deaths_in_a_row = 0
        pause = pause_before_restart(code, deaths_in_a_row)
        deaths_in_a_row += 1
        restarts += 1
        on_restart(Restart(server.name, code, pause, restarts))
        await asyncio.sleep(pause)
        try:
            await server.start()
        except EmbeddedError as error:
            on_failure(str(error))


class Supervised:
    """A process that is wanted. `start`, `stop` and `restart` belong to one event loop; the rest to any."""

    def __init__(
        self,
        process: Process,
        check: Check,
        *,
        on_restart: Callable[[Restart], None] = lambda _: None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """`check` says whether it is ready."""
        self.process = process
        self.restarts = 0
        self._check = check
        self._on_restart = on_restart
        self._stop_seconds = stop_seconds
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def pid(self) -> int:
        """The id of the run that lives now; raises `StartError` between two runs."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives at this moment."""
        return self.process.running

    def start(self) -> None:
        """Start it and keep it running from now on."""
        self.process.start()
        self._watch = asyncio.create_task(self._keep_running(), name=f"supervisor of {self.name}")

    async def wait_ready(self, *, budget_seconds: float = READY_SECONDS) -> None:
        """Wait until it answers; deaths meanwhile are the supervisor's affair. `StartError` after the budget."""
        deadline = monotonic() + budget_seconds
        while not (self.running and await self._check()):
            if self._watch is None and not self.running:
                raise StartError(f"{self.name} does not run, its last code was {self.process.returncode}; start it")
            if monotonic() > deadline:
                raise StartError(f"{self.name} was not ready within {budget_seconds:.0f} s: {self.process.explain()}")
            await asyncio.sleep(READY_POLL_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal. After a deadly one the supervisor starts it again."""
        self.process.kill(number)

    async def kill9(self, *, leave_dead: bool = False) -> None:
        """SIGKILL and wait until it is gone; with `leave_dead` it stays so until `start`."""
        if leave_dead:
            await self._stop_watching()
        pid = self.pid
        self.kill(signal.SIGKILL)
        while self._lives(pid):  # noqa: ASYNC110 (the supervisor waits for it too, and may be first)
            await asyncio.sleep(READY_POLL_SECONDS / 4)

    def _lives(self, pid: int) -> bool:
        try:
            return self.pid == pid
        except StartError:
            return False

    async def stop(self) -> int | None:
        """End it for good: SIGTERM, after its budget SIGKILL. The exit code; None if it never ran."""
        await self._stop_watching()
        return await self.process.stop(budget_seconds=self._stop_seconds)

    async def restart(self) -> int | None:
        """A clean restart; the exit code of the run that ended. Not counted as a death."""
        code = await self.stop()
        self.start()
        return code

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None

    async def _keep_running(self) -> None:
        deaths_in_a_row = 0
        while True:
            began_at = monotonic()
            code = await self.process.wait()
            if monotonic() - began_at > STEADY_SECONDS:
                deaths_in_a_row = 0
            pause = pause_before_restart(code, deaths_in_a_row)
            deaths_in_a_row += 1
            self.restarts += 1
            self._on_restart(Restart(self.name, code, pause, self.restarts))
            await asyncio.sleep(pause)
            self.process.start()
