"""The real broker and the real database of the tests, started once for each worker, and only when a test asks for it.

`brokers`   both servers: `.bootstrap`, `.dsn`, `.kafka`, `.postgres`
`settings`  `Settings` of one test: a topic prefix and a migrated, empty database of its own
`database_url`  that database alone; no broker is started for it
`kafka_settings`  a topic prefix of its own on the broker; no database is started for it
"""

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import asyncpg
import hypothesis.internal.observability  # noqa: F401 (its plugin would import it at the end of a run: see sources.parse)
import psutil
import pytest
from pydantic import SecretStr

from broadcast.database import migrate
from broadcast.embedded.servers.kafka import Kafka
from broadcast.embedded.servers.postgres import Postgres
from broadcast.settings import Settings
from tests.support.logs import unconfigure

T = TypeVar("T")

TEMPLATE = "migrated"
TOPIC_PREFIX_LENGTH = 8

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30
"""Free in `MEMORY`, and of the machine's memory: both servers of a worker use 2 GB at most."""

ROOMS = ("tests/fault", "tests/e2e", "tests/integration", "tests/contract", "tests/unit")
"""In the order in which they run."""
LONGEST_FILES = ("test_sender_protocol.py", "test_demo.py", "test_several_accounts.py")
"""They begin first."""


@dataclass(frozen=True)
class Brokers:
    """Both servers of this run. A test that kills one must bring it back before it ends."""

    kafka: Kafka
    postgres: Postgres

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    @property
    def dsn(self) -> str:
        return self.postgres.dsn


def pytest_configure(config: pytest.Config) -> None:
    """Settings of the person who runs the tests are not the tests' settings."""
    for name in [name for name in os.environ if name.startswith("BROADCAST_")]:
        if name not in {"BROADCAST_CACHE_DIR", "BROADCAST_MAVEN_REPOSITORY"}:
            del os.environ[name]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: with several workers, what is left at the end is short and falls to whoever is free.

    Fault tests with equal stacks stay together.
    """
    items.sort(key=_place_of)


def _place_of(item: pytest.Item) -> tuple[bool, int, str]:
    path = item.path.relative_to(item.config.rootpath).as_posix()
    room = next((number for number, room in enumerate(ROOMS) if path.startswith(room)), len(ROOMS))
    stack = getattr(getattr(item, "module", None), "SYSTEM", None)
    return item.path.name not in LONGEST_FILES, room, stack.name if stack is not None else ""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Report a failure without garbage collection, which may end the run instead: see `sources.parse`."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def _logs_unconfigured() -> Iterator[None]:
    """A test that configures logs does so for itself alone."""
    yield
    unconfigure()


def _run(work: Callable[[], Awaitable[T]]) -> T:
    """Run in a loop that ends with the call: the servers belong to no loop."""

    async def main() -> T:
        return await work()

    with asyncio.Runner() as runner:
        return runner.run(main())


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """A directory for this run; not pytest's own, which other users may not enter and which keeps three runs.

    In memory if there is plenty: Kafka makes some 10,000 partitions, and syncs each file of them to a disk.
    """
    in_memory = (
        MEMORY.is_dir()
        and os.access(MEMORY, os.W_OK)
        and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM_BYTES
    )
    directory = Path(tempfile.mkdtemp(prefix="tocsin-tests-", dir=MEMORY if in_memory else None))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_of_session(session_directory: Path) -> Iterator[Kafka]:
    """Apache Kafka, started once. Ask for `kafka_broker`."""
    broker = Kafka(session_directory / "kafka")
    try:
        _run(broker.start)
        yield broker
    finally:
        _run(broker.stop)


@pytest.fixture
def kafka_broker(kafka_of_session: Kafka) -> Kafka:
    """Apache Kafka, running even if the test before could not bring it back."""
    if not kafka_of_session.running:
        _run(kafka_of_session.start)
    return kafka_of_session


@pytest.fixture(scope="session")
def postgres_of_session(session_directory: Path) -> Iterator[Postgres]:
    """PostgreSQL, started once, with a migrated template. Ask for `postgres_server`."""
    server = Postgres(session_directory / "postgres")
    try:
        _run(server.start)
        # Each test makes and drops a database: every file of it would be synced, one by one.
        _run(lambda: _execute(server.dsn, "ALTER SYSTEM SET fsync = off"))
        _run(lambda: _execute(server.dsn, "SELECT pg_reload_conf()"))
        _run(lambda: _execute(server.dsn, f"CREATE DATABASE {TEMPLATE}"))
        _run(lambda: migrate(server.dsn_of(TEMPLATE)))
        yield server
    finally:
        _run(server.stop)


@pytest.fixture
def postgres_server(postgres_of_session: Postgres) -> Postgres:
    """PostgreSQL, running even if the test before could not bring it back."""
    if not postgres_of_session.running:
        _run(postgres_of_session.start)
    return postgres_of_session


@pytest.fixture
def brokers(kafka_broker: Kafka, postgres_server: Postgres) -> Brokers:
    """Both servers."""
    return Brokers(kafka_broker, postgres_server)


@pytest.fixture
def database_url(postgres_server: Postgres) -> Iterator[str]:
    """The address of an empty, migrated database of this test's own."""
    name = f"test_{uuid4().hex}"
    _run(lambda: _execute(postgres_server.dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY"))
    yield postgres_server.dsn_of(name)
    if postgres_server.running:
        _run(lambda: _execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def topic_prefix() -> str:
    """The start of this test's topic names, groups and transactional ids."""
    return f"t{uuid4().hex[:TOPIC_PREFIX_LENGTH]}."


@pytest.fixture
def kafka_settings(kafka_broker: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    """Settings with the real broker and a topic prefix of this test's own; the database is none."""
    return Settings(
        data_dir=tmp_path,
        slot="test",
        kafka_bootstrap=kafka_broker.bootstrap,
        topic_prefix=topic_prefix,
        number_hash_key=SecretStr("k" * 32),
    )


@pytest.fixture
def settings(kafka_settings: Settings, database_url: str) -> Settings:
    """Settings with both real servers; make the topics that the test needs with `broadcast.kafka.topics`."""
    return Settings(**(kafka_settings.model_dump() | {"database_url": database_url}))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
