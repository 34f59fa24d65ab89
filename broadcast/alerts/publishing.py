"""Alert events and stops as records: what the API and every other publisher of ours put on Kafka.

An alert's id is always `schemas.alert.alert_id_of`, so that the references of an Update or Cancel find it, and so that
the same alert with and without an Idempotency-Key is one alert. The key itself travels as `ce_requestid`.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol
from uuid import UUID, uuid5

import msgspec

from schemas.alert import Alert, AlertAction, AlertEvent, alert_id_of, alert_id_of_key, write_alert, write_event
from schemas.control import Stop, stop_key
from schemas.topics import Names

TYPE_PREFIX = "org.tocsin.alert."
SOURCE = "/tocsin/api"

Headers = list[tuple[str, bytes]]


class Producer(Protocol):
    """What a publisher needs of a producer: AIOKafkaProducer has it."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, *, headers: Headers
    ) -> Awaitable[object]:
        """Append a record; the awaitable is done when all in-sync replicas have it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be written."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def digest_of(alert: Alert) -> bytes:
    """SHA-256 of the alert as `write_alert` writes it: the same alert again has the same digest, however it came."""
    return sha256(write_alert(alert)).digest()


def request_id_of(owner: str, idempotency_key: str) -> UUID:
    """What an API key's owner asked for under an Idempotency-Key, as one id that says neither."""
    return alert_id_of_key(owner, idempotency_key)


def alert_event(alert: Alert, *, actor: str, now: datetime) -> AlertEvent:
    """The event that submits an alert."""
    return AlertEvent(event=AlertAction.SUBMITTED, alert_id=alert_id_of(alert), alert=alert, at=now, actor=actor)


def cancelled_event(alert_id: UUID, *, actor: str, reason: str, now: datetime) -> AlertEvent:
    """The event that cancels an alert; it goes with a stop."""
    return AlertEvent(event=AlertAction.CANCELLED, alert_id=alert_id, at=now, actor=actor, reason=reason or None)


def event_record(
    names: Names, event: AlertEvent, *, source: str = SOURCE, request_id: UUID | None = None, digest: bytes = b""
) -> Record:
    """An alert event as a record: CloudEvents 1.0 in binary mode (Kafka protocol binding, section 3.2).

    `ce_id` is derived from what the event says, so that the same event again is the same CloudEvent.
    """
    value = write_event(event)
    said = digest or sha256(value).digest()
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid5(event.alert_id, f"{event.event}:{said.hex()}")),
        "ce_source": source,
        "ce_type": f"{TYPE_PREFIX}{event.event}.v1",
        "ce_subject": str(event.alert_id),
        "ce_time": event.at.isoformat(),
        "content-type": "application/json",
    }
    if digest:
        attributes["ce_digest"] = digest.hex()
    if request_id is not None:
        attributes["ce_requestid"] = str(request_id)
    headers = tuple((name, text.encode()) for name, text in attributes.items())
    return Record(names.alerts, str(event.alert_id).encode(), value, headers)


def stop_record(names: Names, alert_id: UUID, *, actor: str, reason: str, now: datetime) -> Record:
    """A stop as a record of the control topic; nothing undoes it."""
    stop = Stop(alert_id=str(alert_id), at=int(now.timestamp() * 1000), actor=actor, reason=reason)
    return Record(names.control, stop_key(str(alert_id)).encode(), msgspec.json.encode(stop))


async def write(producer: Producer, records: Sequence[Record]) -> None:
    """Write records, and return when all in-sync replicas have every one; raises what the producer raises."""
    waiting = [
        await producer.send(record.topic, record.value, record.key, headers=list(record.headers)) for record in records
    ]
    await asyncio.gather(*waiting)


async def publish(producer: Producer, names: Names, event: AlertEvent, *, source: str = SOURCE) -> None:
    """Write one alert event; it is published when this returns."""
    digest = digest_of(event.alert) if event.alert is not None else b""
    await write(producer, [event_record(names, event, source=source, digest=digest)])


async def stop(
    producer: Producer, names: Names, alert_id: UUID, *, actor: str, reason: str, now: datetime, source: str = SOURCE
) -> None:
    """Stop an alert: the stop for the senders and the event for the planner; both stand when this returns."""
    event = cancelled_event(alert_id, actor=actor, reason=reason, now=now)
    await write(
        producer,
        [
            stop_record(names, alert_id, actor=actor, reason=reason, now=now),
            event_record(names, event, source=source),
        ],
    )
