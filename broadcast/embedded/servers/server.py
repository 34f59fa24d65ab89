"""What the embedded servers have in common: one child process, its data in one directory, its port remembered there."""

from pathlib import Path

from broadcast.embedded.errors import StartError
from broadcast.embedded.processes.child import Process


class Server:
    """A server of one data directory; a subclass starts `_process`, and chooses `_chosen_port` once for all starts."""

    def __init__(self, name: str, directory: Path, *, port: int | None, stop_seconds: float) -> None:
        """`directory` is this server's own; `port` is remembered there, and free unless given."""
        self.name = name
        self.directory = directory.absolute()
        self._stop_seconds = stop_seconds
        self._given_port = port
        self._chosen_port: int | None = None
        self._process: Process | None = None

    @property
    def _port(self) -> int:
        if self._chosen_port is None:
            raise StartError(f"{self.name} has no address yet; start it first")
        return self._chosen_port

    @property
    def process(self) -> Process:
        """The server's first process; known after the first start."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether the server's first process lives."""
        return self._process is not None and self._process.running

    async def start(self) -> None:
        """Start on the data, and wait until it answers; `StartError` if it does not come about."""
        raise NotImplementedError

    async def stop(self, *, budget_seconds: float | None = None) -> None:
        """A controlled shutdown, with SIGKILL after the budget (`stop_seconds` if absent)."""
        if self._process is not None:
            await self._process.stop(budget_seconds=self._stop_seconds if budget_seconds is None else budget_seconds)

    async def kill9(self) -> None:
        """Kill all its processes with SIGKILL and wait for their end; `start` brings it back with its data."""
        await self.process.kill_all()
