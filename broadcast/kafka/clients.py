"""aiokafka clients: made in one place, so that all have the settings that exactly-once needs."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.codec import lz4_encode
from aiokafka.conn import AIOKafkaConnection
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from broadcast.kafka.fetches.partition_records import read_safely
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.network.tls import make_client_context
from broadcast.retry import retry
from broadcast.settings import Settings

# aiokafka 0.14 compresses lz4 at level 9 and has no setting for it: 1.3 µs a record, where level 1 takes 0.1 µs and
# makes our records no larger.
sys.modules[DefaultRecordBatchBuilder.__module__].lz4_encode = partial(lz4_encode, level=1)  # type: ignore[attr-defined]

read_safely()


def _bootstrap_safely() -> None:
    """Have aiokafka close the connection of a first contact that is cancelled, which aiokafka 0.14 forgets."""
    bootstrap, create_conn = AIOKafkaClient.bootstrap, aiokafka.client.create_conn
    # Weak: tasks that the first contact leaves behind have the same context.
    made: ContextVar[WeakSet[AIOKafkaConnection]] = ContextVar("made")

    async def create_and_note(*arguments: Any, **keywords: Any) -> AIOKafkaConnection:
        connection = await create_conn(*arguments, **keywords)
        made.get(WeakSet()).add(connection)
        return connection

    async def bootstrap_or_close(client: AIOKafkaClient) -> None:
        connections: WeakSet[AIOKafkaConnection] = WeakSet()
        token = made.set(connections)
        try:
            await bootstrap(client)
        except BaseException:
            for connection in tuple(connections):
                connection.close()
            raise
        finally:
            made.reset(token)

    aiokafka.client.create_conn = create_and_note
    AIOKafkaClient.bootstrap = bootstrap_or_close


_bootstrap_safely()

AWAY: tuple[type[BaseException], ...] = (KafkaError, OSError)
"""What a client raises when the brokers are away or not ready: worth waiting for. A timeout is an OSError too."""

ENDED: tuple[type[BaseException], ...] = (*AWAY, IllegalOperation, AssertionError)
"""What a started producer raises when the brokers are away or it has ended: aiokafka has the last two for that."""

C = TypeVar("C")

POLL_RECORDS_MAX = 10_000
"""Most records of one poll, where the reader does not ask for fewer: a batch may hold a million small ones."""

REQUEST_TIMEOUT_MS = 10_000
FETCH_WAIT_MS = 50
"""Longest wait of a fetch at the log's end: bounds the latency of an idle stage without a busy loop."""


class Consumer(AIOKafkaConsumer):
    """aiokafka's consumer, made safe to stop at any moment, and to ask about a partition that it has lost.

    A rebalance takes partitions between any two steps of who reads them, and Faust asks from another thread. Where
    aiokafka raises AssertionError, these methods return None.
    """

    def highwater(self, partition: TopicPartition) -> int | None:
        """End of the log, told by the last fetch; None if not known, or the partition is not assigned."""
        state = self.state(partition)
        return None if state is None else state.highwater

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        """End of what was committed, told by the last fetch; None if not known, or the partition is not assigned."""
        state = self.state(partition)
        return None if state is None else state.lso

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        """Milliseconds since 1970 of the last fetch; None if there was none, or the partition is not assigned."""
        state = self.state(partition)
        return None if state is None else state.timestamp

    def unread(self, partition: TopicPartition) -> int:
        """Offsets that are not read; 0 if that is not known, or the partition is not assigned.

        Counted to the end of the log: what stands behind an open transaction counts: nobody can read it, and it waits.
        """
        state = self.state(partition)
        if state is None or state.highwater is None or not state.has_valid_position:
            return 0
        unread: int = state.highwater - state.position
        return max(0, unread)

    def state(self, partition: TopicPartition) -> Any:
        """What aiokafka keeps of a partition; None if it is not assigned."""
        subscription = self._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        return None if assignment is None else assignment.state_value(partition)

    async def stop(self) -> None:
        """Leave the group and disconnect; does nothing if it has not started or is stopped."""
        task = asyncio.current_task()
        asked = 0 if task is None else task.cancelling()
        try:
            await super().stop()
        except asyncio.CancelledError:
            if task is not None and task.cancelling() > asked:
                raise
            # aiokafka 0.14 raises this in whoever stops it while a fetch of its own waits to be tried again: unless it
            # ends here, a task that only lets go of its consumer ends as if somebody had cancelled it.
            await self._client.close()


async def start_client(what: str, make: Callable[[], C], close: Callable[[C], Awaitable[Any]]) -> C:
    """Make a client and start it, a new one after each error, while Kafka is away; `what` names who waits."""

    async def start_new() -> C:
        client = make()
        try:
            await client.start()  # type: ignore[attr-defined]
        except BaseException:
            await close(client)
            raise
        return client

    return await retry(what, start_new, service="kafka", away=AWAY)


def security(settings: Settings) -> dict[str, Any]:
    """The connection's protocol, TLS and SASL keywords for any aiokafka client."""
    keywords: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol in ("SSL", "SASL_SSL"):
        keywords["ssl_context"] = make_client_context(
            "BROADCAST_KAFKA", settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file
        )
    if settings.kafka_security_protocol.startswith("SASL"):
        keywords["sasl_mechanism"] = settings.kafka_sasl_mechanism
        keywords["sasl_plain_username"] = settings.kafka_username
        keywords["sasl_plain_password"] = settings.kafka_password and settings.kafka_password.get_secret_value()
    return keywords


def make_producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas; lz4. Pass `transactional_id` for transactions."""
    keywords: dict[str, Any] = {
        "enable_idempotence": True,
        "acks": "all",
        "compression_type": "lz4",
        "linger_ms": 0,
        "max_batch_size": 512 * 1024,
    }
    connection = security(settings) | {"request_timeout_ms": REQUEST_TIMEOUT_MS}
    if "transactional_id" not in overrides:
        return AIOKafkaProducer(**connection, **(keywords | overrides))
    keywords["transaction_timeout_ms"] = int(settings.transaction_timeout_seconds * 1000)
    return TransactionalProducer(connection, settings.topic_prefix, **(keywords | overrides))


def make_consumer(settings: Settings, *topics: str, **overrides: Any) -> Consumer:
    """A consumer of committed records that never commits by itself.

    With `group_id` also pass `group_instance_id`: every member is static (`docs/sender.md`).
    """
    keywords: dict[str, Any] = {
        **security(settings),
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "partition_assignment_strategy": (RangePartitionAssignor,),
        "session_timeout_ms": int(settings.session_timeout_seconds * 1000),
        "heartbeat_interval_ms": int(settings.heartbeat_interval_seconds * 1000),
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "max_partition_fetch_bytes": 1024 * 1024,
        "max_poll_records": POLL_RECORDS_MAX,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }
    return Consumer(*topics, **(keywords | overrides))


def make_admin(settings: Settings) -> AIOKafkaAdminClient:
    """An admin client, not started; the caller starts and closes it."""
    return AIOKafkaAdminClient(**security(settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
