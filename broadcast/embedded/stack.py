"""The whole embedded system: brokers, simulator, API and stages, started in order and stopped in reverse."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from broadcast.clock import monotonic
from broadcast.database import migrate
from broadcast.embedded.directory import DataDirectory
from broadcast.embedded.environment import OWN_FILE, without_own, write_variables
from broadcast.embedded.errors import EmbeddedError, first_error
from broadcast.embedded.options import StackOptions, write_routes
from broadcast.embedded.ports import LOOPBACK, Ports
from broadcast.embedded.processes.probes import answers_ok, has_started
from broadcast.embedded.processes.supervisor import Restart, Supervised, keep_server
from broadcast.embedded.servers.kafka import Kafka
from broadcast.embedded.servers.postgres import Postgres
from broadcast.embedded.stage_processes import SIMULATOR, StageProcesses, StageState
from broadcast.embedded.steps import Progress, Report, discard
from broadcast.kafka.topics import create_topics
from broadcast.routes_file import load_routes
from broadcast.settings import STACK_FILE, Settings
from broadcast.smsc.profile.reading import load_profile
from broadcast.smsc.profile.tables import Profile
from broadcast.stages import API, arguments_of

LOOPBACK_HOSTS = {LOOPBACK, "localhost", "::1"}
"""Names of this machine in a routes file."""


def _failed(step: str, message: str) -> Progress:
    return Progress(step, "failed", message=message)


class Stack:
    """`async with Stack(directory) as stack: await stack.start()`; everything has ended when the block is left.

    With BROADCAST_KAFKA_BOOTSTRAP or BROADCAST_DATABASE_URL in the environment that server is used, and `kafka` or
    `postgres` is None, unless a stack itself has left that value in `stack.env`. It holds the data directory from
    `async with` on.
    """

    def __init__(self, data_dir: Path, options: StackOptions | None = None, *, report: Report = discard) -> None:
        """`report` hears of every step, downloads and restarts included."""
        self.options = options or StackOptions()
        self.directory = DataDirectory(data_dir)
        self.data_dir = self.directory.path
        self._report = report
        self._given = {**without_own(os.environ, self.data_dir), **self.options.environment}
        self.kafka: Kafka | None = None
        self.postgres: Postgres | None = None
        if not self._given.get("BROADCAST_KAFKA_BOOTSTRAP"):
            self.kafka = Kafka(self.data_dir / "kafka", port=self.options.kafka_port, report=report)
        if not self._given.get("BROADCAST_DATABASE_URL"):
            self.postgres = Postgres(self.data_dir / "postgres", port=self.options.postgres_port)
        # Read before anything is started, so that an error in it is told at once.
        self.profile: Profile | None = None if self.options.profile is None else load_profile(self.options.profile)
        self._ports: Ports | None = None
        self._processes = StageProcesses(self.data_dir, self._report_restart)
        self._keeping: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Hold the data directory; raises `DirectoryInUseError`. Nothing is started yet."""
        self.directory.hold()
        self._ports = Ports(self.data_dir)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and wait until all of it is ready."""
        await self.start_brokers()
        await self.prepare()
        await self.start_processes()
        self.write_environment()

    async def start_processes(self) -> None:
        """Start the simulator, the API and every stage, and wait until all are ready; after `prepare`."""
        if self.simulator_wanted:
            self.start_simulator()
        for stage in self.options.stages:
            self.start_stage(stage)
        async with self._step("stages"):
            await self._processes.wait_ready()

    async def start_brokers(self) -> None:
        """Start Apache Kafka and PostgreSQL side by side, as far as they are ours.

        PortTakenError or SettingsError for options that cannot be met, before anything is started.
        """
        self._check_options()
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.kafka is not None:
                    tasks.create_task(self._start_server("Apache Kafka", self.kafka))
                if self.postgres is not None:
                    tasks.create_task(self._start_server("PostgreSQL", self.postgres))
        except ExceptionGroup as group:
            raise first_error(group, EmbeddedError) from None

    def keep_servers(self) -> None:
        """From now on start Apache Kafka and PostgreSQL again when they die, as far as they are ours."""
        for server in (self.kafka, self.postgres):
            if server is not None:
                keeping = keep_server(server, self._report_restart, lambda why: self._report(_failed("restart", why)))
                self._keeping.append(asyncio.create_task(keeping, name=f"supervisor of {server.name}"))

    async def prepare(self) -> None:
        """Bring the schema and the topics to what this version needs."""
        settings = self.settings
        async with self._step("schema and topics"):
            routes = load_routes(settings)
            try:
                await asyncio.gather(migrate(settings.database_url.get_secret_value()), create_topics(settings, routes))
            except OSError as error:
                raise EmbeddedError(
                    f"BROADCAST_DATABASE_URL leads to no database of ours ({error}): see to it, or unset it to have one"
                    " started"
                ) from error

    def start_simulator(self) -> Supervised:
        """Start the SMSC simulator."""
        port, stats_port = self.simulator_port, self._port("smsc_stats")
        words = ["-m", "broadcast", "smsc", "--host", LOOPBACK, "--port", str(port), "--stats-port", str(stats_port)]
        if self.options.profile is not None:
            words += ["--profile", self.options.profile]
        words += self.options.simulator_arguments
        return self._processes.start(SIMULATOR, words, answers_ok(stats_port, "/stats"), self.environment)

    def start_stage(
        self, stage: str, *, name: str | None = None, slot: str = "1", environment: Mapping[str, str] | None = None
    ) -> Supervised:
        """Start one process of a stage; `name` and `slot` tell a second one from the first."""
        name = name or stage
        port = self.api_port if name == API else self._port(f"{name}_metrics")
        changes = {"BROADCAST_SLOT": slot, "BROADCAST_METRICS_PORT": str(port), **(environment or {})}
        if stage == API:
            changes["BROADCAST_API_PORT"] = str(port)
        return self._processes.start(name, arguments_of(stage), has_started(port), self.environment | changes)

    async def read_state(self) -> StageState | None:
        """What all stages say of themselves; None while one does not answer."""
        return await self._processes.read_state(lambda name: self._port(f"{name}_metrics"))

    def reload_routes(self) -> None:
        """Have the senders read the routes file again, without a restart."""
        self._processes.reload_routes()

    def stage(self, name: str) -> Supervised:
        """The supervised process of that name."""
        return self._processes.find(name)

    @property
    def stages(self) -> Mapping[str, Supervised]:
        """All supervised processes, the simulator among them."""
        return self._processes.by_name

    @property
    def smsc(self) -> Supervised:
        """The simulator's process."""
        return self.stage(SIMULATOR)

    @property
    def api_port(self) -> int:
        """Where the API listens, known before it is started."""
        return self._port("api", self.options.api_port)

    @property
    def api_url(self) -> str:
        """The API's address."""
        return f"http://{LOOPBACK}:{self.api_port}"

    @property
    def simulator_port(self) -> int:
        """Where the simulator takes binds, known before it is started."""
        return self._port("smsc", self.options.simulator_port)

    @property
    def simulator_wanted(self) -> bool:
        """Whether the simulator is to run: by the options, else if an account of the routes leads to it."""
        if self.options.simulator is not None:
            return self.options.simulator
        accounts = [account for route in load_routes(self.settings) for account in route.accounts]
        return any(account.port == self.simulator_port and account.host in LOOPBACK_HOSTS for account in accounts)

    @property
    def simulator_url(self) -> str:
        """The simulator's statistics, as `/stats` below this address."""
        return f"http://{LOOPBACK}:{self._port('smsc_stats')}"

    def metrics_url(self, name: str) -> str:
        """Where a stage shows `/metrics`, `/healthz` and `/readyz`."""
        return self.api_url if name == API else f"http://{LOOPBACK}:{self._port(f'{name}_metrics')}"

    @property
    def environment(self) -> dict[str, str]:
        """What every stage finds in its environment, and any command needs to work on this stack; holds secrets."""
        ours = {
            "BROADCAST_DATA_DIR": str(self.data_dir),
            "BROADCAST_ROUTES_FILE": str(self._routes_file()),
            "BROADCAST_NUMBER_HASH_KEY": self.directory.read_secret("number_hash_key"),
            "BROADCAST_API_HOST": LOOPBACK,
            "BROADCAST_API_PORT": str(self.api_port),
            "BROADCAST_API_URL": self.api_url,
            "BROADCAST_METRICS_HOST": LOOPBACK,
        }
        return ours | self._own_variables() | dict(self.options.environment)

    @property
    def settings(self) -> Settings:
        """The settings that the stages have, for work in this process."""
        prefix = "BROADCAST_"
        changes = {name.removeprefix(prefix).lower(): value for name, value in self.environment.items()}
        return Settings(**{name: value for name, value in changes.items() if name in Settings.model_fields})  # type: ignore[arg-type]

    def write_environment(self, **more: str) -> Path:
        """Leave the addresses (and `more`, as `BROADCAST_API_KEY`) for commands of another terminal; mode 0600."""
        write_variables(self.data_dir / OWN_FILE, self._own_variables())
        file = self.data_dir / STACK_FILE
        write_variables(file, self.environment | more)
        return file

    async def stop(self) -> None:
        """End everything in reverse order, each within its budget, and let go of the data directory."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        try:
            await self._processes.stop()
            await asyncio.gather(*(server.stop() for server in (self.kafka, self.postgres) if server is not None))
        finally:
            await self._kill_remains()
            with contextlib.suppress(FileNotFoundError):
                (self.data_dir / STACK_FILE).unlink()
            self.directory.release()

    async def _kill_remains(self) -> None:
        """What a stop that was interrupted left behind."""
        await self._processes.kill_remains()
        for server in (self.kafka, self.postgres):
            if server is not None and server.running:
                await server.kill9()

    async def _start_server(self, step: str, server: Kafka | Postgres) -> None:
        async with self._step(step):
            await server.start()

    def _check_options(self) -> None:
        self._port("api", self.options.api_port)
        self._port("smsc", self.options.simulator_port)
        routes_file = self._given_routes_file()
        if routes_file is not None:
            load_routes(Settings(routes_file=routes_file), with_secrets=True)

    def _report_restart(self, restart: Restart) -> None:
        message = f"{restart.stage} ended with code {restart.code}; restarted after {restart.pause_seconds:g} s"
        self._report(Progress("restart", "failed", restart.restarts, message=message))

    def _own_variables(self) -> dict[str, str]:
        """The servers and the routes file that this stack has made, of nobody else."""
        own: dict[str, str] = {}
        if self.kafka is not None:
            own["BROADCAST_KAFKA_BOOTSTRAP"] = self.kafka.bootstrap
        if self.postgres is not None:
            own["BROADCAST_DATABASE_URL"] = self.postgres.dsn
        if self._given_routes_file() is None:
            own["BROADCAST_ROUTES_FILE"] = str(self._routes_file())
        return own

    def _given_routes_file(self) -> Path | None:
        given = self.options.routes_file or self._given.get("BROADCAST_ROUTES_FILE")
        return Path(given).absolute() if given else None

    def _routes_file(self) -> Path:
        given = self._given_routes_file()
        if given is not None:
            return given
        file = self.data_dir / "routes.toml"
        write_routes(file, self.simulator_port, self.profile)
        return file

    def _port(self, name: str, given: int | None = None) -> int:
        if self._ports is None:
            raise EmbeddedError("the stack has no ports yet; enter it with `async with` first")
        return self._ports.hold(name, given)

    @asynccontextmanager
    async def _step(self, step: str) -> AsyncIterator[None]:
        began_at = monotonic()
        self._report(Progress(step, "started"))
        try:
            yield
        except BaseException:
            self._report(Progress(step, "failed", seconds=monotonic() - began_at))
            raise
        self._report(Progress(step, "ended", seconds=monotonic() - began_at))
