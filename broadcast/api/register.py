"""What `alerts.v1` says was published lately: so that the API knows a repetition, without a database, on every replica.

Read from Kafka at start as far back as `MEMORY_SECONDS`, then followed. The planner refuses repetitions by itself; the
register is there to say so to the caller.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from broadcast.alerts.publishing import digest_of
from broadcast.alerts.unplanned import Cancel, Unplanned, UnplannedAlerts, entry_of, read_entry
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX
from broadcast.health import Health
from broadcast.kafka.clients import AWAY, make_consumer
from broadcast.retry import Backoff
from broadcast.settings import Settings
from schemas.alert import AlertAction, AlertInvalidError, alert_id_of, read_event
from schemas.topics import Names

MEMORY_SECONDS = 48 * 3600
"""How long an Idempotency-Key is remembered: a day of retries, and a weekend's clock fault."""

ENTRIES_MAX = 50_000
START_BUDGET_SECONDS = 15.0

Known = Callable[[UUID, UUID | None], bool]
"""Whether an alert and the request that it came with are remembered already."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """An alert that was published, and SHA-256 of what it says (`digest_of`)."""

    alert_id: UUID
    digest: bytes


class Found(NamedTuple):
    """What one record of `alerts.v1` says, as far as it can be read."""

    published: Published | None = None
    request_id: UUID | None = None
    entry: Unplanned | Cancel | None = None


class Register:
    """Alerts by id and by request id (`request_id_of`), the latest `ENTRIES_MAX` of each. `unplanned` has the rest."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        self._alerts: OrderedDict[UUID, Published] = OrderedDict()
        self._requests: OrderedDict[UUID, Published] = OrderedDict()
        self.unplanned = UnplannedAlerts()

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
        for found in _read_all(records, self.known):
            self.keep(found)

    def known(self, alert_id: UUID, request_id: UUID | None) -> bool:
        """Whether an alert, and the request that it came with, are remembered."""
        return alert_id in self._alerts and (request_id is None or request_id in self._requests)

    def keep(self, found: Found) -> None:
        """Remember what one record says."""
        if found.published is not None:
            self.remember(found.published, found.request_id)
        if found.entry is not None:
            self.unplanned.keep(found.entry)


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
                for found in await _read_aside(records, register.known):
                    register.keep(found)
            on_read()
    finally:
        await consumer.stop()


async def _read_aside(records: Sequence[Any], known: Known) -> list[Found]:
    """What records say; in a thread where there is much to be parsed."""
    large = sum(len(record.value or b"") for record in records) > INLINE_BYTES_MAX
    return await asyncio.to_thread(_read_all, records, known) if large else _read_all(records, known)


def _read_all(records: Iterable[Any], known: Known) -> list[Found]:
    return [_read(record, known) for record in records]


async def _start_at(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    consumer.assign([partition])
    since = int((time.time() - MEMORY_SECONDS) * 1000)
    end: int = (await consumer.end_offsets([partition]))[partition]
    found = (await consumer.offsets_for_times({partition: since}))[partition]
    consumer.seek(partition, end if found is None else found.offset)
    return end


def _read(record: Any, known: Known) -> Found:
    # Anyone who may write the topic can put any key and header there: only what the value says is believed. It must be
    # what the planner takes, or an alert would count as published that nobody sends.
    headers = {name: value for name, value in record.headers or () if value is not None}
    request_id = _request_id_of(headers.get("ce_requestid"))
    value = record.value or b""
    entry = read_entry(value)
    if isinstance(entry, Unplanned) and known(entry.alert_id, request_id):
        return Found()
    try:
        event = read_event(value, record.key, tuple(headers.items()), received_at=_received_at(record))
    except AlertInvalidError:
        return Found()
    if event.event is AlertAction.CANCELLED:
        return Found(entry=entry_of(event))
    alert = event.alert
    if event.event is not AlertAction.SUBMITTED or alert is None or event.alert_id != alert_id_of(alert):
        return Found()
    return Found(Published(event.alert_id, digest_of(alert)), request_id, entry_of(event))


def _request_id_of(text: bytes | None) -> UUID | None:
    try:
        return UUID(text.decode()) if text else None
    except ValueError:
        return None


def _received_at(record: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _keep(entries: OrderedDict[UUID, Published], entry_id: UUID, published: Published) -> None:
    entries.setdefault(entry_id, published)
    if len(entries) > ENTRIES_MAX:
        entries.popitem(last=False)
