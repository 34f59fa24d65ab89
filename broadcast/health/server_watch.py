"""Asking the servers that a process needs whether they answer, apart from what the process does with them.

A server that is frozen refuses nothing: whoever waits for it learns nothing, and the lag that was told last stays. So a
task of its own asks every `ASK_SECONDS`, names a server that does not answer on `/readyz`, and reads the log's ends.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
from aiokafka import AIOKafkaConsumer

from broadcast.database.pool import connect
from broadcast.health.process_health import Health, WatchedLog
from broadcast.kafka.clients import make_consumer
from broadcast.retry import Service
from broadcast.settings import Settings

ASK_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 4.0
"""A server that needs longer for the smallest question is as good as away; one slow answer is no outage."""

CLOSE_SECONDS: Final = 2.0


class KafkaAsker:
    """Asks Kafka for the ends of the watched logs, or, without any, for its topics."""

    def __init__(self, settings: Settings, logs: Sequence[WatchedLog]) -> None:
        self._settings: Final = settings
        self._logs: Final = logs
        self._consumer: AIOKafkaConsumer | None = None
        self._closing: Final[set[asyncio.Task[None]]] = set()

    async def ask(self) -> None:
        """Return when Kafka has answered; raises what its client raises."""
        if self._consumer is None:
            # What stands behind an open transaction is lag too: committed records would end before it.
            self._consumer = make_consumer(self._settings, isolation_level="read_uncommitted")
            await self._consumer.start()
        partitions = {partition for log in self._logs for partition in log.partitions()}
        if not partitions:
            await self._consumer.topics()
            return
        ends = await self._consumer.end_offsets(sorted(partitions))
        for log in self._logs:
            log.tell(ends)

    def drop(self) -> None:
        """Forget the client; it may hang in its own end."""
        if self._consumer is not None:
            task = asyncio.create_task(_close(self._consumer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._consumer = None

    async def close(self) -> None:
        """Forget the client, and wait until its connections are closed."""
        self.drop()
        if self._closing:
            await asyncio.wait(tuple(self._closing), timeout=2 * CLOSE_SECONDS)


class DatabaseAsker:
    """Asks PostgreSQL the smallest question, on a connection of its own."""

    def __init__(self, settings: Settings, stage: str) -> None:
        self._settings: Final = settings
        self._stage: Final = stage
        self._connection: asyncpg.Connection | None = None

    async def ask(self) -> None:
        """Return when PostgreSQL has answered; raises what asyncpg raises."""
        if self._connection is None:
            self._connection = await connect(self._settings, f"{self._stage} health")
        await self._connection.fetchval("SELECT 1")

    def drop(self) -> None:
        """Forget the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Forget the connection."""
        self.drop()


async def _close(consumer: AIOKafkaConsumer) -> None:
    with suppress(Exception):
        await asyncio.wait_for(consumer.stop(), CLOSE_SECONDS)
    # It has no group to leave: what is left of it are connections.
    with suppress(Exception):
        await consumer._client.close()


async def keep_asking(health: Health, service: Service, asker: KafkaAsker | DatabaseAsker, *, needed: bool) -> None:
    """Ask until cancelled; while no answer comes, the process is not ready, or with `needed` false degraded."""
    name = f"{service} unanswered"
    try:
        while True:
            await asyncio.sleep(ASK_SECONDS)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await asker.ask()
            except Exception as error:  # whatever it is, the server did not answer
                asker.drop()
                health.missing(service)
                why = f"nothing within {ANSWER_SECONDS:g} s" if isinstance(error, TimeoutError) else repr(error)
                reason = f"{service} does not answer: {why}; see that it runs and is not frozen"
                (health.hold if needed else health.degrade)(name, reason)
            else:
                health.found(service)
                health.release(name)
    finally:
        await asker.close()


@asynccontextmanager
async def watch_servers(
    settings: Settings, health: Health, *, database: bool | None, logs: Sequence[WatchedLog] = ()
) -> AsyncIterator[None]:
    """Ask Kafka, and PostgreSQL where `database` says that the process needs it (false: it goes on without; None: no).

    `logs` may grow while the context is open.
    """
    tasks = [asyncio.create_task(keep_asking(health, "kafka", KafkaAsker(settings, logs), needed=True))]
    if database is not None:
        asker = DatabaseAsker(settings, health.stage)
        tasks.append(asyncio.create_task(keep_asking(health, "postgresql", asker, needed=database)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
