"""A recorder that runs, and the topics of senders to write to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer

from broadcast.audit import rebuild_check, summary, verify
from broadcast.database.pool import connect
from broadcast.health import Health
from broadcast.kafka.clients import make_producer
from broadcast.settings import Settings
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from schemas.topics import Names
from streams.recorder import run
from tests.support.waiting import eventually

encode = msgspec.json.Encoder().encode
T = 1_760_000_000_000
BUDGET_SECONDS = 30.0


class RecorderUnderTest:
    """Writes statuses and receipts as senders do, and asks the audit."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.alert_id = uuid4()

    async def make_alert(self, audience: int) -> UUID:
        """An alert for recipients 1 to `audience`."""
        await self.query(
            "INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest, "
            "groups, event_offset, actor, expires_at, accepted_at, expanded_at, audience, suppressed) "
            "VALUES ($1, 'sending', 'immediate', 's', 'i', now(), 'Actual', 'Alert', '{}', '', '{}', 0, 'test', "
            "now() + interval '1 hour', now(), now(), $2, 0)",
            self.alert_id,
            audience,
        )
        await self.query(
            "INSERT INTO chunks VALUES ($1, 0, 1, $2::bigint, $2::bigint::int, "
            "(SELECT array_agg(g) FROM generate_series(1, $2::bigint) g), '{}', '', '')",
            self.alert_id,
            audience,
        )
        return self.alert_id

    async def query(self, statement: str, *given: Any) -> Any:
        """The first value of a statement, on a connection of its own."""
        connection = await connect(self.settings)
        try:
            return await connection.fetchval(statement, *given)
        finally:
            await connection.close()

    def hash_of(self, recipient_id: int) -> int:
        """The hash of the number of a recipient."""
        return recipient_id

    def statuses(self, recipients: Sequence[int]) -> list[bytes]:
        """An accepted status for each."""
        return [
            encode(
                Status(
                    str(self.alert_id),
                    recipient_id,
                    1,
                    Outcome.ACCEPTED,
                    account="sim",
                    message_id=f"m{recipient_id}",
                    number_hash=self.hash_of(recipient_id),
                    submitted_at=T,
                    at=T,
                )
            )
            for recipient_id in recipients
        ]

    def receipts(self, recipients: Sequence[int]) -> list[bytes]:
        """A receipt of delivery for each."""
        return [
            encode(Receipt("sim", f"m{recipient_id}", ReceiptState.DELIVERED, recipient_id, received_at=T + 9))
            for recipient_id in recipients
        ]

    async def send(
        self, topic: str, values: Sequence[bytes | None], *, partition: int = 0, commit: bool = True
    ) -> None:
        """One transaction with these records, committed or aborted."""
        producer: AIOKafkaProducer = make_producer(self.settings, transactional_id=f"{self.settings.topic_prefix}test")
        await producer.start()
        try:
            await producer.begin_transaction()
            for value in values:
                await producer.send(topic, value=value, key=b"1", partition=partition)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await producer.stop()

    async def counts(self) -> dict[str, int]:
        """Recipients by state, from the counters."""
        connection = await connect(self.settings)
        try:
            found = await summary(connection, self.alert_id)
        finally:
            await connection.close()
        assert found.gap == 0
        return {state.value: number for state, number in found.counts.items() if number}

    async def wait_for(self, **wanted: int) -> None:
        """Until the counts are these."""

        async def reached() -> bool:
            return await self.counts() == wanted

        await self.until(reached)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> None:
        """Until the condition holds."""
        await eventually(condition, within_seconds=BUDGET_SECONDS)

    @asynccontextmanager
    async def recorder(self, slot: str = "a") -> AsyncIterator["asyncio.Task[None]"]:
        """A recorder, ready; stopped in order at the end."""
        health = self.health = Health("recorder")
        stop = asyncio.Event()
        task = asyncio.create_task(run(self.settings.model_copy(update={"slot": slot}), health, stop))
        try:
            await eventually(lambda: health.ready() or task.done(), within_seconds=BUDGET_SECONDS)
            yield task
        finally:
            stop.set()
            await asyncio.wait([task], timeout=BUDGET_SECONDS)
            if not task.cancelled() and task.done() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]

    async def sound(self) -> None:
        """Evidence, attempts and counters agree."""
        connection: asyncpg.Connection = await connect(self.settings)
        try:
            found = await verify(connection)
            assert [fault for fault in found.faults if "chunk" not in fault] == []
            assert (await rebuild_check(connection)).faults == []
            exact = await summary(connection, self.alert_id, exact=True)
            assert exact.differences == {}
        finally:
            await connection.close()
