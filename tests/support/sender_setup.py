"""A sender's surroundings for tests: real broker, simulator and sender as processes, jobs and what became of them."""

import asyncio
import json
import os
import signal
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from broadcast.clock import epoch_milliseconds
from broadcast.kafka.clients import make_admin, make_producer
from broadcast.kafka.position import Position, read_position, write_metadata
from broadcast.kafka.topics import create_topics
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from schemas.control import Control, Stop, Variant, stop_key
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from tests.support.children import ending_with_us
from tests.support.topics import read_topic
from tests.support.waiting import eventually, found_first

ROUTE = "simulated"
encode = msgspec.json.encode


@dataclass
class Process:
    """A child process and where its log goes."""

    process: asyncio.subprocess.Process
    log: Path

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def end(self, timeout_seconds: float = 20) -> int:
        """Wait for it to end by itself; its exit code."""
        async with asyncio.timeout(timeout_seconds):
            return await self.process.wait()

    async def stop(self) -> int:
        self.send(signal.SIGTERM)
        return await self.end()

    async def metrics(self) -> dict[str, float]:
        """What `/metrics` says, by series as it is written there."""
        text = await self._get("/metrics")
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {series: float(value) for series, value in samples}

    async def report(self) -> dict[str, Any]:
        """What `/readyz` says."""
        found: dict[str, Any] = json.loads(await self._get("/readyz"))
        return found

    async def _get(self, path: str) -> str:
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        [port] = [line["metrics_port"] for line in lines if line.get("event") == "process_started"]
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{port}{path}")).text

    def text(self) -> str:
        return self.log.read_text()


@dataclass
class Simulator:
    """The SMSC simulator as a process."""

    process: Process
    port: int
    stats_port: int

    async def ask(self, path: str, body: dict[str, object] | None = None) -> Any:
        def request() -> Any:
            data = None if body is None else json.dumps(body).encode()
            url = f"http://127.0.0.1:{self.stats_port}{path}"
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as answer:
                return answer.read()

        return await asyncio.to_thread(request)

    async def behave(self, **changes: object) -> None:
        await self.ask("/behaviour", changes)

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.ask("/stats"))
        return found

    async def numbers(self) -> Counter[str]:
        """How often each number was submitted."""
        lines = (await self.ask("/numbers")).decode().split("\n")
        return Counter({line.split()[0]: int(line.split()[1]) for line in lines if line})


@dataclass
class RouteUnderTest:
    """One route, its topics, a simulator, and any number of senders."""

    settings: Settings
    directory: Path
    simulator: Simulator
    processes: list[Process] = field(default_factory=list)
    partitions: int = 4

    @property
    def names(self) -> Names:
        return Names(self.settings.topic_prefix)

    @property
    def group(self) -> str:
        return f"{self.settings.topic_prefix}sender.{ROUTE}"

    def environment(self, **settings: object) -> dict[str, str]:
        wanted = {
            "kafka_bootstrap": self.settings.kafka_bootstrap,
            "topic_prefix": self.settings.topic_prefix,
            "routes_file": self.settings.routes_file,
            "data_dir": self.directory,
            "log_level": "INFO",
            "number_hash_key": "k" * 32,
        } | settings
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BROADCAST_")}
        return kept | {f"BROADCAST_{name.upper()}": str(value) for name, value in wanted.items()}

    async def start_sender(self, slot: str = "a", **settings: object) -> Process:
        """A sender as its own process; it may not have taken over yet."""
        environment = self.environment(slot=slot, **settings)
        process = await start_process(
            self.directory / f"sender-{slot}-{uuid4().hex[:6]}.log", environment, "-m", "streams", "sender"
        )
        self.processes.append(process)
        return process

    async def restart_simulator(self) -> None:
        """The simulator again, on its port; it has forgotten what it saw."""
        self.simulator = await start_simulator(self.directory, self.simulator.port)

    async def publish(
        self,
        *,
        lane: Lane = Lane.ROUTINE,
        status: str = "Test",
        seconds: float = 3600,
        texts: Sequence[str] = ("Water is rising.",),
        alert_id: str | None = None,
    ) -> str:
        """A control record; the alert's id."""
        alert_id = alert_id or str(uuid4())
        control = Control(
            alert_id=alert_id,
            lane=lane,
            status=status,
            expires_at=epoch_milliseconds() + int(seconds * 1000),
            variants=tuple(Variant("en", text) for text in texts),
        )
        await self.send([(self.names.control, 0, alert_id.encode(), encode(control))])
        return alert_id

    async def cancel(self, alert_id: str) -> None:
        stop = Stop(alert_id, epoch_milliseconds(), "test")
        await self.send([(self.names.control, 0, stop_key(alert_id).encode(), encode(stop))])

    async def put_jobs(
        self, alert_id: str, recipients: Iterable[int], *, lane: Lane = Lane.ROUTINE, **fields: Any
    ) -> None:
        """Jobs for recipients; recipient n has the number +447700 and n in six digits."""
        topic = self.names.jobs(ROUTE, lane)
        await self.send(
            (
                topic,
                recipient % self.partitions,
                b"%d" % recipient,
                encode(Job(alert_id, recipient, f"+447700{recipient:06d}", **fields)),
            )
            for recipient in recipients
        )

    async def send(self, records: Iterable[tuple[str, int, bytes, bytes]]) -> None:
        """Records in one transaction, as an expander writes them: it leaves a gap in each partition."""
        producer: AIOKafkaProducer = make_producer(self.settings, transactional_id=f"{self.settings.topic_prefix}test")
        await producer.start()
        try:
            async with producer.transaction():
                batches: dict[tuple[str, int], Any] = {}
                for topic, partition, key, value in records:
                    batch = batches.get((topic, partition)) or producer.create_batch()
                    batches[topic, partition] = batch
                    if batch.append(timestamp=None, key=key, value=value, headers=[]) is None:
                        await producer.send_batch(batch, topic, partition=partition)
                        batch = batches[topic, partition] = producer.create_batch()
                        batch.append(timestamp=None, key=key, value=value, headers=[])
                for (topic, partition), batch in batches.items():
                    await producer.send_batch(batch, topic, partition=partition)
        finally:
            await producer.stop()

    async def delete_jobs(self, lane: Lane = Lane.ROUTINE) -> None:
        """What Kafka does with jobs that nobody has sent within the retention time."""
        partitions = [TopicPartition(self.names.jobs(ROUTE, lane), number) for number in range(self.partitions)]
        admin = make_admin(self.settings)
        await admin.start()
        try:
            await admin.delete_records({partition: RecordsToDelete(-1) for partition in partitions})
        finally:
            await admin.close()

    async def set_positions(self, positions: dict[TopicPartition, Position]) -> None:
        """What no sender commits: for when Kafka's data is not what it was."""
        producer = make_producer(self.settings, transactional_id=f"{self.settings.topic_prefix}test")
        await producer.start()
        try:
            async with producer.transaction():
                committed = {
                    tp: OffsetAndMetadata(found.offset, write_metadata(found)) for tp, found in positions.items()
                }
                await producer.send_offsets_to_transaction(committed, self.group)
        finally:
            await producer.stop()

    async def records(self, topic: str, kind: type[Any]) -> list[Any]:
        """Everything committed on a topic, decoded."""
        decode = msgspec.json.Decoder(kind).decode
        return [decode(record.value) for record in await read_topic(self.settings, topic)]

    async def statuses(self) -> list[Status]:
        return await self.records(self.names.statuses, Status)

    async def wait_for(
        self, recipients: Iterable[int], alert_id: str, *, timeout_seconds: float = 60
    ) -> dict[int, list[Status]]:
        """Until every recipient has a status that is final; all statuses by recipient."""
        wanted = set(recipients)

        async def all_final() -> dict[int, list[Status]]:
            by_recipient: dict[int, list[Status]] = {}
            for status in await self.statuses():
                if status.alert_id == alert_id:
                    by_recipient.setdefault(status.recipient_id, []).append(status)
            done = {
                recipient
                for recipient, found in by_recipient.items()
                if any(status.outcome is not Outcome.REFUSED_FOR_NOW for status in found)
            }
            return by_recipient if wanted <= done else {}

        return await found_first(all_final, "everybody has a final status", within_seconds=timeout_seconds)

    async def positions(self) -> dict[TopicPartition, Position]:
        """The group's positions, as far as there are any."""
        admin = make_admin(self.settings)
        await admin.start()
        try:
            committed = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return {tp: read_position(found.offset, found.metadata) for tp, found in committed.items() if found.offset >= 0}

    async def until_owned(self, *slots: str, timeout_seconds: float = 30) -> None:
        """Until the senders in these slots, and no others, own all partitions."""
        wanted = {f"{self.group}.{slot}" for slot in slots}

        async def owned() -> bool:
            return {position.owner for position in (await self.positions()).values()} == wanted

        await eventually(owned, f"{wanted} own all partitions", within_seconds=timeout_seconds)

    async def until_submitted(self, count: int, *, timeout_seconds: float = 30) -> None:
        """Until the SMSC has seen so many submits."""

        async def submitted() -> bool:
            return bool((await self.simulator.stats())["submits"] >= count)

        await eventually(submitted, f"{count} submits", within_seconds=timeout_seconds)

    async def check(self, found: dict[int, list[Status]], *, doubled_at_most: int) -> int:
        """Nobody lost, everybody decided once per attempt, every copy marked; how many were doubled."""
        numbers = await self.simulator.numbers()
        for recipient, statuses in found.items():
            number = number_of(recipient)
            assert numbers[number] >= 1, f"recipient {recipient} was never submitted: {statuses}"
            attempts = Counter((status.attempt, status.segment) for status in statuses)
            assert max(attempts.values()) == 1, f"two outcomes of one attempt: {statuses}"
            if numbers[number] > len(attempts):
                assert any(status.possible_duplicate for status in statuses), f"doubled and unmarked: {statuses}"
        assert len(numbers) == len(found)
        doubled = sum(count - 1 for count in numbers.values())
        assert doubled <= doubled_at_most
        return doubled


def number_of(recipient: int) -> str:
    return f"447700{recipient:06d}"


async def start_process(log: Path, environment: dict[str, str], *arguments: str) -> Process:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *ending_with_us(*arguments),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=file,
            cwd=Path(__file__).parents[2],
        )
    return Process(process, log)


async def start_simulator(directory: Path, port: int = 0, *options: str) -> Simulator:
    """`broadcast smsc` on a free port."""
    process = await asyncio.create_subprocess_exec(
        *ending_with_us("-m", "broadcast.smsc.command", "--port", str(port), "--json", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        ready = json.loads(await process.stdout.readline())
    return Simulator(Process(process, directory / "none"), ready["port"], ready["stats_port"])


@asynccontextmanager
async def open_route(
    settings: Settings, directory: Path, *, account: str = "", route: str = "", profile: str = ""
) -> AsyncIterator[RouteUnderTest]:
    """A route with its topics and simulator; `account`, `route` and the simulator's `profile` are lines of TOML.

    `PORT` in `account` stands for the simulator's port.
    """
    options: tuple[str, ...] = ()
    if profile:
        (directory / "profile.toml").write_text(profile)
        options = ("--profile", str(directory / "profile.toml"))
    simulator = await start_simulator(directory, 0, *options)
    routes = directory / "routes.toml"
    delays = "" if "delays_seconds" in route else "delays_seconds = [1, 2]"
    routes.write_text(
        f"""
[[routes]]
name = "{ROUTE}"
prefixes = ["+"]
{delays}
{route}
[[routes.accounts]]
name = "acc"
host = "127.0.0.1"
port = {simulator.port}
system_id = "tocsin"
simulated = true
source_addr = "TOCSIN"
backoff_seconds = 0.1
backoff_limit_seconds = 1.0
{account.replace("PORT", str(simulator.port))}
"""
    )
    settings = settings.model_copy(update={"routes_file": routes})
    await create_topics(settings, load_routes(settings))
    opened = RouteUnderTest(settings, directory, simulator)
    try:
        yield opened
    finally:
        for process in opened.processes:
            await process.kill()
        await opened.simulator.process.kill()
