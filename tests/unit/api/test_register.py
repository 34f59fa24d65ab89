"""The register: what it reads of the alerts topic, what it forgets."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from broadcast.alerts.publishing import (
    alert_event,
    cancelled_event,
    digest_of,
    event_record,
    request_id_of,
    with_request_id,
)
from broadcast.api import register as rooms
from broadcast.api.register import Published, Register
from schemas.alert import Alert, alert_id_of, write_alert
from schemas.topics import Names

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = Names("t.")


@dataclass
class _Consumed:
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_800_000_000_000


def make_alert(identifier: str = "a1", note: str | None = None) -> Alert:
    return Alert.model_validate(
        {
            "identifier": identifier,
            "sender": "s@example.org",
            "sent": "2026-11-22T12:00:00-00:00",
            "status": "Actual",
            "msgType": "Alert",
            "scope": "Public",
            "note": note,
        }
    )


def consumed(alert: Alert, request_id: UUID | None = None) -> _Consumed:
    record = event_record(NAMES, alert_event(alert, actor="anna", now=NOW), digest=digest_of(alert))
    if request_id is not None:
        record = with_request_id(record, request_id)
    return _Consumed(record.value, record.key, record.headers)


def test_api_events_are_known_by_alert_and_by_request() -> None:
    register, alert, request_id = Register(), make_alert(), request_id_of("anna", "k")
    register.read([consumed(alert, request_id)])
    expected = Published(alert_id_of(alert), digest_of(alert))
    assert register.alert(alert_id_of(alert)) == expected
    assert register.request(request_id) == expected


def test_bare_alerts_of_other_clients_are_known_too() -> None:
    register, alert = Register(), make_alert()
    register.read([_Consumed(write_alert(alert))])
    assert register.alert(alert_id_of(alert)) == Published(alert_id_of(alert), digest_of(alert))


def test_first_publication_stays() -> None:
    register = Register()
    register.read([consumed(make_alert()), consumed(make_alert(note="changed"))])
    known = register.alert(alert_id_of(make_alert()))
    assert known is not None
    assert known.digest == digest_of(make_alert())


def test_other_events_and_poison_are_passed_over() -> None:
    register, alert_id = Register(), uuid4()
    record = event_record(NAMES, cancelled_event(alert_id, actor="anna", reason="", now=NOW))
    register.read(
        [
            _Consumed(record.value, record.key, record.headers),
            _Consumed(b"not json"),
            _Consumed(None),
            _Consumed(b"{}", b"no uuid", (("ce_digest", b"zz"),)),
            _Consumed(b"{}", str(alert_id).encode(), (("ce_digest", b"zz"),)),
            _Consumed(write_alert(make_alert()), None, (("ce_requestid", b"\xff"),)),
            consumed(make_alert("a2")),
        ]
    )
    assert register.alert(alert_id) is None
    assert register.alert(alert_id_of(make_alert("a2"))) is not None


def test_memory_is_bounded_and_the_oldest_go() -> None:
    register = Register()
    entries = [Published(uuid4(), b"d") for _ in range(rooms.ENTRIES_MAX + 3)]
    for entry in entries:
        register.remember(entry, entry.alert_id)
    assert [register.alert(entry.alert_id) is None for entry in entries[:4]] == [True, True, True, False]
    assert register.request(entries[-1].alert_id) == entries[-1]


def test_headers_without_a_value_are_as_good_as_none() -> None:
    register = Register()
    alert = make_alert()
    key = str(alert_id_of(alert)).encode()
    odd: tuple[tuple[str, bytes | None], ...] = (("ce_digest", None), ("ce_requestid", None))
    register.read([_Consumed(b"{}", key, odd), _Consumed(write_alert(alert), key, odd)])  # type: ignore[arg-type]
    assert register.alert(alert_id_of(alert)) is not None


def test_only_what_a_record_says_is_believed() -> None:
    honest, other, request_id = make_alert(), make_alert("a2"), request_id_of("anna", "k")
    alert_id, at = alert_id_of(honest), NOW.isoformat()
    submitted = {"event": "submitted", "alert_id": str(alert_id), "at": at, "actor": "anna"}
    content = json.loads(write_alert(honest))
    forged = [
        {"event": "approved", "alert_id": str(alert_id), "at": at, "actor": "anna"},
        {"event": "approved", "alert_id": str(alert_id), "at": at, "actor": "anna", "alert": content},
        submitted | {"alert": json.loads(write_alert(other))},
        submitted | {"alert": content | {"status": "actual"}},
        submitted | {"alert": content, "at": "2026-11-22T12:00:00"},
        {},
    ]
    register = Register()
    for value in forged:
        for digest in (digest_of(honest), bytes(32)):
            headers = (("ce_digest", digest.hex().encode()), ("ce_requestid", str(request_id).encode()))
            register.read([_Consumed(json.dumps(value).encode(), str(alert_id).encode(), headers)])
    assert (register.alert(alert_id), register.request(request_id)) == (None, None)
    assert register.unplanned.find(alert_id) is None
    wrong = (("ce_digest", bytes(32).hex().encode()), ("ce_requestid", b"\xff"))
    register.read([_Consumed(write_alert(honest), str(alert_id_of(other)).encode(), wrong)])
    assert register.alert(alert_id) == Published(alert_id, digest_of(honest))
    assert register.alert(alert_id_of(other)) is None
