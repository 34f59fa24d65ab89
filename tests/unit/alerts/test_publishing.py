"""Alert events and stops as records: CloudEvents headers, keys, ids that say the same of the same."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec

from broadcast.alerts.publishing import (
    alert_event,
    cancellation_records,
    cancelled_event,
    digest_of,
    event_record,
    request_id_of,
    stop_record,
    with_request_id,
)
from schemas.alert import Alert, AlertAction, alert_id_of, read_alert, read_event, write_alert
from schemas.control import Stop
from schemas.topics import Names

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
NAMES = Names("t.")


def make_alert(**changes: object) -> Alert:
    content = {
        "identifier": "flood-1",
        "sender": "flood@example.org",
        "sent": "2026-11-22T12:00:00-00:00",
        "status": "Actual",
        "msgType": "Alert",
        "scope": "Public",
        "groups": ["river"],
        "info": [
            {
                "category": ["Met"],
                "event": "Flood",
                "urgency": "Immediate",
                "severity": "Extreme",
                "certainty": "Likely",
            }
        ],
    }
    return Alert.model_validate(content | changes)


def test_event_record_is_a_cloud_event_that_the_planner_reads() -> None:
    alert = make_alert()
    request = request_id_of("anna", "k1")
    record = event_record(NAMES, alert_event(alert, actor="anna", now=NOW), digest=digest_of(alert))
    record = with_request_id(record, request)
    headers = dict(record.headers)
    assert record.topic == "t.alerts.v1"
    assert record.key == str(alert_id_of(alert)).encode()
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"org.tocsin.alert.submitted.v1"
    assert headers["ce_subject"] == record.key
    assert headers["content-type"] == b"application/json"
    assert datetime.fromisoformat(headers["ce_time"].decode()) == NOW
    assert headers["ce_source"] == b"/tocsin/api"
    assert headers["ce_digest"].decode() == digest_of(alert).hex()
    assert headers["ce_requestid"].decode() == str(request)
    read = read_event(record.value, record.key, record.headers)
    assert (read.event, read.alert_id, read.actor, read.at) == (AlertAction.SUBMITTED, alert_id_of(alert), "anna", NOW)
    assert read.alert == alert


def test_same_event_has_the_same_id_and_another_alert_another() -> None:
    def ce_id(alert: Alert, at: datetime = NOW) -> bytes:
        record = event_record(NAMES, alert_event(alert, actor="anna", now=at), digest=digest_of(alert))
        return dict(record.headers)["ce_id"]

    assert ce_id(make_alert()) == ce_id(make_alert(), at=datetime(2026, 11, 23, tzinfo=UTC))
    assert ce_id(make_alert()) != ce_id(make_alert(note="changed"))
    assert ce_id(make_alert()) != ce_id(make_alert(identifier="flood-2"))
    assert UUID(ce_id(make_alert()).decode()).version == 5


def test_digest_is_of_what_the_alert_says_not_how_it_was_written() -> None:
    alert = make_alert()
    assert digest_of(read_alert(write_alert(alert))) == digest_of(alert)
    assert digest_of(make_alert(note="changed")) != digest_of(alert)


def test_request_ids_keep_owners_apart() -> None:
    assert request_id_of("anna", "1x") != request_id_of("anna1", "x")
    assert request_id_of("anna", "k") == request_id_of("anna", "k")


def test_stop_record_is_what_senders_read() -> None:
    alert_id = uuid4()
    record = stop_record(NAMES, alert_id, actor="anna", reason="wrong river", now=NOW)
    assert (record.topic, record.key) == ("t.control.v1", f"{alert_id}/stop".encode())
    said = msgspec.json.decode(record.value, type=Stop)
    assert said == Stop(alert_id=str(alert_id), at=1795348800123, actor="anna", reason="wrong river")


def test_cancelled_event_is_read_by_the_planner() -> None:
    alert_id = uuid4()
    record = event_record(NAMES, cancelled_event(alert_id, actor="anna", reason="", now=NOW))
    read = read_event(record.value, record.key, record.headers)
    assert (read.event, read.alert_id, read.reason) == (AlertAction.CANCELLED, alert_id, None)
    assert "ce_digest" not in dict(record.headers)


def test_a_cancellation_is_the_stop_first_and_the_event_with_it() -> None:
    alert_id = uuid4()
    records = cancellation_records(NAMES, alert_id, actor="anna", reason="wrong", now=NOW)
    assert [(record.topic, record.key.decode()) for record in records] == [
        ("t.control.v1", f"{alert_id}/stop"),
        ("t.alerts.v1", str(alert_id)),
    ]
