"""One child process: started by `launch.py`, logged to a file, waited for without a thread, ended within a budget."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import psutil

from broadcast.embedded.errors import StartError

LAUNCHER = Path(__file__).with_name("launch.py")
READY_POLL_SECONDS = 0.02
LOG_TAIL_BYTES = 1_500
REAP_SECONDS = 5.0
"""After SIGKILL the kernel needs no longer than this; more means a process stuck in the kernel."""

Check = Callable[[], Awaitable[bool]]


class Process:
    """A child in a session of its own: Ctrl-C in the terminal does not reach it, our death does (`death_signal`).

    It belongs to no event loop: it may be started in one and waited for, killed or stopped in another.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        uid: int | None = None,
        reach: bool = False,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """`uid` is the user to become, `reach` lets it pass directories closed to that user; both need root."""
        self.name = name
        self.command = [str(word) for word in command]
        self.log_file = log_file
        self.environment = dict(os.environ if environment is None else environment)
        self.directory = directory
        self.uid, self.reach = uid, reach
        self.stop_signal, self.death_signal = stop_signal, death_signal
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running process's id; raises `StartError` when there is none."""
        if self._popen is None or self._popen.poll() is not None:
            raise StartError(f"{self.name} is not running; start it first")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """The last run's exit code, negative for a signal; None while it runs or before the first start."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start it, appending to its log. Returns at once: use `wait_ready`."""
        if self.running:
            raise StartError(f"{self.name} is already running as process {self.pid}; stop it first")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        launch = [os.getpid(), int(self.death_signal), -1 if self.uid is None else self.uid, int(self.reach)]
        # Only ours to read: a server's own messages may quote what it stores.
        handle = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, launch), "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.directory,
                start_new_session=True,
                umask=0o077,
            )

    async def wait(self) -> int:
        """Wait until it has ended; its exit code, negative for a signal."""
        popen = self._popen
        if popen is None:
            raise StartError(f"{self.name} was never started")
        while popen.poll() is None:
            try:
                handle = os.pidfd_open(popen.pid)
            except ProcessLookupError:
                continue
            try:
                await _readable(handle)
            finally:
                os.close(handle)
        return popen.returncode

    async def wait_ready(self, check: Check, *, budget_seconds: float) -> None:
        """Poll `check` until it says yes; `StartError` with the log's end if the process ends or the budget does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + budget_seconds
        while not await check():
            if not self.running:
                raise StartError(f"{self.name} ended with code {self.returncode} before it was ready: {self.explain()}")
            if loop.time() > deadline:
                raise StartError(f"{self.name} was not ready within {budget_seconds:.0f} s: {self.explain()}")
            await asyncio.sleep(READY_POLL_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        if self._popen is not None:
            self._popen.send_signal(number)

    async def kill_all(self) -> None:
        """SIGKILL the process and all its descendants, and wait until it is gone."""
        if self._popen is None:
            return
        victims = self.descendants()
        self.kill()
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        async with asyncio.timeout(REAP_SECONDS):
            await self.wait()
            while any(map(_is_alive, victims)):  # noqa: ASYNC110 (they are not our children: nothing tells us)
                await asyncio.sleep(READY_POLL_SECONDS)

    def descendants(self) -> list[psutil.Process]:
        """The processes below it, now."""
        if not self.running:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    async def stop(self, *, budget_seconds: float) -> int | None:
        """Ask it to end; after the budget, SIGKILL to it and all below it. Its exit code; None if never started."""
        if self._popen is None:
            return None
        self.kill(self.stop_signal)
        try:
            async with asyncio.timeout(budget_seconds):
                return await self.wait()
        except TimeoutError:
            await self.kill_all()
            return await self.wait()
        except asyncio.CancelledError:
            await self.kill_all()
            raise

    def explain(self) -> str:
        """The log's last lines, and where the rest is."""
        with contextlib.suppress(FileNotFoundError), self.log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return f"{log.read().decode(errors='replace').strip()}\n(log: {self.log_file})"
        return f"no log at {self.log_file}"


def _is_alive(process: psutil.Process) -> bool:
    """Whether it can still do something; one that only its new parent has to reap cannot."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(handle, wake)
    try:
        await ready
    finally:
        loop.remove_reader(handle)
