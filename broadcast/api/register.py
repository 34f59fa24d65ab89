"""What `alerts.v1` says was published lately: so that the API knows a repetition, without a database, on every replica.

Read from Kafka at start as far back as `MEMORY_SECONDS`, then followed. The planner refuses repetitions by itself; the
register is there to say so to the caller.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from broadcast.alerts.publishing import digest_of
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX
from broadcast.health import Health
from broadcast.kafka.clients import AWAY, make_consumer
from broadcast.retry import Backoff
from broadcast.settings import Settings
from schemas.alert import AlertInvalidError, read_event
from schemas.topics import Names

MEMORY_SECONDS = 48 * 3600
"""How long an Idempotency-Key is remembered: a day of retries, and a weekend's clock fault."""

ENTRIES_MAX = 50_000
START_BUDGET_SECONDS = 15.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """An alert that was published, and SHA-256 of what it says (`digest_of`)."""

    alert_id: UUID
    digest: bytes


class Register:
    """Alerts by id and by request id (`request_id_of`), the latest `ENTRIES_MAX` of each."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        self._alerts: OrderedDict[UUID, Published] = OrderedDict()
        self._requests: OrderedDict[UUID, Published] = OrderedDict()

    def alert(self, alert_id: UUID) -> Published | None:
        """What was published under an alert id, if it is remembered."""
        return self._alerts.get(alert_id)

    def request(self, request_id: UUID) -> Published | None:
        """What was published under an Idempotency-Key, if it is remembered."""
        return self._requests.get(request_id)

    def remember(self, published: Published, request_id: UUID | None = None) -> None:
        """The first to come stays: a later record with the same id is a repetition or a conflict."""
        _keep(self._alerts, published.alert_id, published)
        if request_id is not None:
            _keep(self._requests, request_id, published)

    def read(self, records: Iterable[Any]) -> None:
        """Remember what records of `alerts.v1` submit; others, and those that cannot be read, are passed over."""
        for found in _read_all(records):
            self.remember(*found)


async def follow(register: Register, settings: Settings, health: Health) -> None:
    """Read the alerts topic into the register until cancelled; readiness is held until its end was reached once."""
    partition = TopicPartition(Names(settings.topic_prefix).alerts, 0)
    health.hold("register", "reading the alerts that were published lately")
    pause = Backoff()
    while True:
        try:
            await _follow(register, settings, health, partition, on_read=pause.reset)
        except AWAY as error:
            await pause.wait("kafka", "register", error)
        except Exception:
            # Without it no alert could be published any more.
            log.exception("register_interrupted")
            await pause.sleep()


async def _follow(
    register: Register, settings: Settings, health: Health, partition: TopicPartition, on_read: Callable[[], None]
) -> None:
    consumer = make_consumer(settings)
    try:
        async with asyncio.timeout(START_BUDGET_SECONDS):
            await consumer.start()
            end = await _start_at(consumer, partition)
        while True:
            if not register.complete.is_set() and await consumer.position(partition) >= end:
                register.complete.set()
                health.release("register")
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for found in await _read_aside(records):
                    register.remember(*found)
            on_read()
    finally:
        await consumer.stop()


async def _read_aside(records: Sequence[Any]) -> list[tuple[Published, UUID | None]]:
    """What records submit; in a thread where a large one has to be parsed."""
    large = any(
        len(record.value or b"") > INLINE_BYTES_MAX and all(name != "ce_digest" for name, _ in record.headers or ())
        for record in records
    )
    return await asyncio.to_thread(_read_all, records) if large else _read_all(records)


def _read_all(records: Iterable[Any]) -> list[tuple[Published, UUID | None]]:
    read = (
        _read(record.value, record.key, {name: value for name, value in record.headers or () if value is not None})
        for record in records
    )
    return [found for found in read if found is not None]


async def _start_at(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    consumer.assign([partition])
    since = int((time.time() - MEMORY_SECONDS) * 1000)
    end: int = (await consumer.end_offsets([partition]))[partition]
    found = (await consumer.offsets_for_times({partition: since}))[partition]
    consumer.seek(partition, end if found is None else found.offset)
    return end


def _read(value: bytes | None, key: bytes | None, headers: Mapping[str, bytes]) -> tuple[Published, UUID | None] | None:
    request = headers.get("ce_requestid")
    try:
        request_id = UUID(request.decode()) if request else None
        if "ce_digest" in headers and key is not None:
            return Published(UUID(key.decode()), bytes.fromhex(headers["ce_digest"].decode())), request_id
        event = read_event(value, key, tuple(headers.items()))
    except (AlertInvalidError, ValueError):
        return None
    return (Published(event.alert_id, digest_of(event.alert)), request_id) if event.alert is not None else None


def _keep(entries: OrderedDict[UUID, Published], entry_id: UUID, published: Published) -> None:
    entries.setdefault(entry_id, published)
    if len(entries) > ENTRIES_MAX:
        entries.popitem(last=False)
