"""A whole stack to be hurt: a paced simulated route, recipients in blocks, alerts, and what became of them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from broadcast.audience.importing import import_recipients
from broadcast.clock import monotonic, utc_now
from broadcast.database import connect
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.options import StackOptions
from broadcast.embedded.ports import LOOPBACK
from broadcast.embedded.processes.child import Process
from broadcast.embedded.stack import Stack
from broadcast.embedded.stage_processes import PACKAGES
from broadcast.kafka.clients import make_producer
from broadcast.stages import STAGES
from schemas.alert import (
    Alert,
    Area,
    Category,
    Certainty,
    Info,
    MsgType,
    Scope,
    Severity,
    Status,
    Urgency,
    alert_id_of,
    write_alert,
)
from schemas.lane import Lane
from schemas.topics import Names
from tests.fault.relay import Relay
from tests.fault.work import Work
from tests.support.waiting import eventually

ROUTE = "simulated"
WINDOW = 64
SLOW, FAST = 600.0, 2_000.0
"""Messages a second: a few thousand recipients outlast an outage, or 20,000 do not hold up a test."""
IN_DOUBT_LIMIT = 100
"""Far below the default, so that `duplicates <= limit x kills` says something of a small broadcast."""

ROUTES = """\
[[routes]]
name = "{route}"
prefixes = ["+"]
partitions = 4
delays_seconds = [1, 2]

[[routes.accounts]]
name = "simulator"
host = "{host}"
port = {port}
system_id = "tocsin"
simulated = true
password = "simulate"
rate_per_second = 5000
window = {window}
response_timeout_seconds = 5
backoff_seconds = 0.2
backoff_limit_seconds = 1.0
"""

LIFETIME = timedelta(hours=1)
TEXT = "Water rises. Go uphill."
PUBLISH_BUDGET_SECONDS = 100.0
"""A killed API is back in 2 s, on a machine that is busy with other things in 20; and it may be killed again."""

WEIGHTS = {
    Lane.IMMEDIATE: (Urgency.IMMEDIATE, Severity.EXTREME, Certainty.OBSERVED),
    Lane.PRIORITY: (Urgency.EXPECTED, Severity.MINOR, Certainty.LIKELY),
    Lane.ROUTINE: (Urgency.FUTURE, Severity.MINOR, Certainty.POSSIBLE),
}


@dataclass(frozen=True, kw_only=True)
class SystemOptions:
    """What tests need of a stack; those with the same options share one.

    `routes` is a routes file with `{route}`, `{host}`, `{port}` and `{window}`; `block` is recipients in a group.
    """

    name: str
    routes: str = ROUTES
    block: int = 100
    chunk_size: int = 100
    simulator_arguments: tuple[str, ...] = ("--receipt-delay-ms", "50")
    environment: dict[str, str] = field(default_factory=dict)


COMMON = SystemOptions(name="common")
"""The stack of every test that leaves it as it was."""


class SystemUnderTest:
    """A running stack, with a relay between sender and simulator, and clients for all of it."""

    def __init__(self, stack: Stack, options: SystemOptions, api_key: str, relay: Relay) -> None:
        self.stack, self.options, self.relay = stack, options, relay
        self.settings = stack.settings
        self.names = Names(self.settings.topic_prefix)
        self.work = Work(self.settings, self.names, ROUTE)
        self.client = httpx.AsyncClient(
            base_url=stack.api_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=10.0
        )
        self._imported = 0
        self.last_alarm_before = 0
        self._free: list[str] = []

    @property
    def free(self) -> int:
        """Recipients that no alert has addressed yet."""
        return len(self._free) * self.options.block

    async def begin(self, recipients: int) -> None:
        """Begin a test: stages are ready, the simulator remembers nothing, so many recipients are there.

        Alarms of the tests before do not count from here on.
        """
        await self.ready()
        await self.simulator("/reset", {})
        await self.pace(FAST)
        async with self.database() as connection:
            self.last_alarm_before = await connection.fetchval("SELECT coalesce(max(id), 0) FROM alarms")
        missing = -(-recipients // self.options.block) - len(self._free)
        if missing > 0:
            await self._import(missing)

    def take(self, count: int) -> tuple[str, ...]:
        """Groups with `count` recipients whom no alert has addressed."""
        size = self.options.block
        wanted = -(-count // size)
        if wanted > len(self._free):
            raise ValueError(f"{count} recipients are wanted and {self.free} are left; `begin` with more")
        taken, self._free = self._free[:wanted], self._free[wanted:]
        return tuple(taken)

    def alert(self, count: int, lane: Lane = Lane.ROUTINE, text: str = TEXT) -> Alert:
        """An alert to `count` fresh recipients."""
        return build_alert(self.take(count), lane, text)

    async def publish(self, alert: Alert) -> UUID:
        """Publish over HTTP, again and again until it is accepted: 202, whatever dies meanwhile."""
        deadline = monotonic() + PUBLISH_BUDGET_SECONDS
        headers = {"Content-Type": "application/json", "Idempotency-Key": alert.identifier}
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.client.post("/v1/alerts", content=write_alert(alert), headers=headers)
                if answer.status_code == httpx.codes.ACCEPTED:
                    return UUID(answer.json()["alert_id"])
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            assert monotonic() < deadline, f"no 202 for alert {alert.identifier} in {PUBLISH_BUDGET_SECONDS} s"
            await asyncio.sleep(0.1)

    async def produce(self, alerts: Sequence[Alert]) -> list[UUID]:
        """Publish bare JSON values as any Kafka client can, without key and headers, all at once."""
        async with self.producer() as producer:
            sent = [await producer.send(self.names.alerts, write_alert(alert)) for alert in alerts]
            await asyncio.gather(*sent)
        return [alert_id_of(alert) for alert in alerts]

    def producer(self) -> AIOKafkaProducer:
        """An idempotent producer of the test's own."""
        return make_producer(self.settings)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for the length of the block."""
        connection = await connect(self.settings)
        try:
            yield connection
        finally:
            await connection.close(timeout=2.0)

    async def simulator(self, path: str, change: dict[str, object] | None = None) -> Any:
        """Ask the simulator's endpoint, or POST a change to it."""
        async with httpx.AsyncClient(base_url=self.stack.simulator_url, timeout=30.0) as client:
            answer = await (client.get(path) if change is None else client.post(path, json=change))
            return answer.raise_for_status().json()

    async def pace(self, messages_per_second: float) -> None:
        """Let the simulator take so long to answer that no more get through its window."""
        await self.simulator("/behaviour", {"delay_ms": 1000 * WINDOW / messages_per_second})

    async def submits(self) -> int:
        """Submits that the simulator has taken."""
        taken: int = (await self.simulator("/stats"))["submits"]
        return taken

    def victim(self, stage: str, **settings: str) -> Process:
        """A process of a stage that nobody restarts; start, hurt and stop it.

        It has slot 1 like the supervised one, in place of which it runs; beside that it needs another BROADCAST_SLOT.
        """
        environment = {"BROADCAST_SLOT": "1", "BROADCAST_METRICS_PORT": "0", "PYTHONPATH": str(PACKAGES), **settings}
        return Process(
            f"{stage}-victim",
            [sys.executable, "-m", "streams", stage],
            log_file=self.stack.data_dir / "logs" / f"{stage}-victim.log",
            environment={**os.environ, **self.stack.environment, **environment},
            directory=self.stack.data_dir,
        )

    async def ready(self, *names: str, budget_seconds: float = 60.0) -> None:
        """Wait until these stages (all, if none is named) are ready."""
        stages = [self.stack.stage(name) for name in names or STAGES]
        await asyncio.gather(*(stage.wait_ready(budget_seconds=budget_seconds) for stage in stages))

    def log_of(self, name: str) -> str:
        """What a stage has printed over all its runs."""
        return (self.stack.data_dir / "logs" / f"{name}.log").read_text(errors="replace")

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], *, budget_seconds: float) -> float:
        """Poll a condition until it holds; the seconds that took. Fails with `what` after the budget."""
        return await eventually(condition, what, within_seconds=budget_seconds)

    async def _import(self, blocks: int) -> None:
        size, begin = self.options.block, self._imported
        names = [f"block-{number:05d}" for number in range(begin, begin + blocks)]
        csv = self.stack.data_dir / f"recipients-{begin}.csv"
        numbers = range(begin * size, (begin + blocks) * size)
        lines = [f"R{n:07d},+491500{n:07d},block-{n // size:05d}\n" for n in numbers]
        csv.write_text("external_id,phone,groups\n" + "".join(lines))
        async with self.database() as connection:
            result = await import_recipients(connection, csv, csv.with_suffix(".report.csv"))
        assert result.inserted == len(lines)
        self._imported += blocks
        self._free += names

    async def close(self) -> None:
        """Close the clients; the stack is its owner's."""
        await self.client.aclose()
        await self.work.close()


@asynccontextmanager
async def open_system(directory: Path, options: SystemOptions) -> AsyncIterator[SystemUnderTest]:
    """Start a stack on `directory` with the directory imported, and end everything afterwards."""
    routes = directory.with_suffix(".routes.toml")
    environment = {
        "BROADCAST_CHUNK_SIZE": str(options.chunk_size),
        "BROADCAST_IN_DOUBT_LIMIT": str(IN_DOUBT_LIMIT),
        **options.environment,
    }
    stack_options = StackOptions(
        routes_file=routes, simulator_arguments=options.simulator_arguments, environment=environment
    )
    async with Relay() as relay, Stack(directory, stack_options) as stack:
        relay.target = stack.simulator_port
        routes.write_text(options.routes.format(route=ROUTE, host=LOOPBACK, port=relay.port, window=WINDOW))
        key = await start_with_key(stack)
        system = SystemUnderTest(stack, options, key, relay)
        try:
            yield system
        finally:
            await system.close()


def build_alert(groups: Sequence[str], lane: Lane, text: str = TEXT) -> Alert:
    """A test alert to these groups in this lane, with one text, by default of one segment."""
    now = utc_now().replace(microsecond=0)
    urgency, severity, certainty = WEIGHTS[lane]
    info = Info(
        category=(Category.MET,),
        event="Flood",
        urgency=urgency,
        severity=severity,
        certainty=certainty,
        expires=now + LIFETIME,
        headline=text,
        area=(Area(area_desc="Wick"),),
    )
    return Alert(
        identifier=f"FAULT-{uuid4()}",
        sender="faults.example.org",
        sent=now,
        status=Status.TEST,
        msg_type=MsgType.ALERT,
        scope=Scope.PUBLIC,
        info=(info,),
        groups=tuple(groups),
    )
