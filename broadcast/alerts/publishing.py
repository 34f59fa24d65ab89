"""Alert events and stops as records: what the API and every other publisher of ours put on Kafka.

An alert's id is always `schemas.alert.alert_id_of`, so that the references of an Update or Cancel find it, and so that
the same alert with and without an Idempotency-Key is one alert. The key itself travels as `ce_requestid`.
"""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

import msgspec

from broadcast.kafka.batches import Record
from schemas.alert import Alert, AlertAction, AlertEvent, alert_id_of, alert_id_of_key, write_alert, write_event
from schemas.control import Stop, stop_key
from schemas.topics import Names

TYPE_PREFIX = "org.tocsin.alert."
SOURCE = "/tocsin/api"


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


def event_record(names: Names, event: AlertEvent, *, digest: bytes = b"", value: bytes = b"") -> Record:
    """An alert event as a record: CloudEvents 1.0 in binary mode (Kafka protocol binding, section 3.2).

    `value` is the event as `write_event` writes it, if that is known. `ce_id` is derived from what the event says, so
    that the same event again is the same CloudEvent.
    """
    value = value or write_event(event)
    said = digest or sha256(value).digest()
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid5(event.alert_id, f"{event.event}:{said.hex()}")),
        "ce_source": SOURCE,
        "ce_type": f"{TYPE_PREFIX}{event.event}.v1",
        "ce_subject": str(event.alert_id),
        "ce_time": event.at.isoformat(),
        "content-type": "application/json",
    }
    if digest:
        attributes["ce_digest"] = digest.hex()
    headers = tuple((name, text.encode()) for name, text in attributes.items())
    return Record(names.alerts, str(event.alert_id).encode(), value, headers=headers)


def with_request_id(record: Record, request_id: UUID) -> Record:
    """The record of an event with the Idempotency-Key that it was sent under."""
    return replace(record, headers=(*record.headers, ("ce_requestid", str(request_id).encode())))


def stop_record(names: Names, alert_id: UUID, *, actor: str, reason: str, now: datetime) -> Record:
    """A stop as a record of the control topic; nothing undoes it."""
    stop = Stop(alert_id=str(alert_id), at=int(now.timestamp() * 1000), actor=actor, reason=reason)
    return Record(names.control, stop_key(str(alert_id)).encode(), msgspec.json.encode(stop))


def cancellation_records(
    names: Names, alert_id: UUID, *, actor: str, reason: str, now: datetime
) -> tuple[Record, Record]:
    """What cancels an alert: the stop for the senders first, then the event for the planner."""
    event = cancelled_event(alert_id, actor=actor, reason=reason, now=now)
    return stop_record(names, alert_id, actor=actor, reason=reason, now=now), event_record(names, event)
