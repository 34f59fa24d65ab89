"""The alert model: what it takes, what it refuses with which rule, and how it gets its id."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alert import (
    ALERT_BYTES_MAX,
    Alert,
    AlertAction,
    AlertEvent,
    AlertInvalidError,
    Status,
    alert_id_of,
    alert_id_of_key,
    read_alert,
    read_event,
    write_alert,
    write_event,
)

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def alert_json(**fields: Any) -> dict[str, Any]:
    return {
        "identifier": "flood-1",
        "sender": "warnings.example.org",
        "sent": "2030-01-02T03:04:05-00:00",
        "status": "Test",
        "msgType": "Alert",
        "scope": "Public",
        "addresses": "district-1",
        "info": [info_json()],
    } | fields


def info_json(**fields: Any) -> dict[str, Any]:
    return {
        "category": ["Met"],
        "event": "Flood",
        "urgency": "Immediate",
        "severity": "Severe",
        "certainty": "Observed",
    } | fields


def area_json(**fields: Any) -> dict[str, Any]:
    return alert_json(info=[info_json(area=[{"areaDesc": "Valley"} | fields])])


def read(content: dict[str, Any]) -> Alert:
    return read_alert(json.dumps(content).encode())


def test_the_end_of_a_day_may_be_its_24th_hour() -> None:
    assert read(alert_json(sent="2030-12-31T24:00:00+01:00")).sent.isoformat() == "2031-01-01T00:00:00+01:00"


def test_an_alert_survives_its_json() -> None:
    content = alert_json(
        groups=["flood plain"],
        info=[
            info_json(
                language="de",
                responseType=["Evacuate"],
                expires="2030-01-02T06:04:05+01:00",
                parameter=[{"valueName": "SMS", "value": "Lauf"}],
                area=[{"areaDesc": "Tal", "polygon": ["1,2 3,4 5,6 1,2"], "altitude": "10.50", "ceiling": "20"}],
            )
        ],
    )
    alert = read(content)
    assert read_alert(write_alert(alert)) == alert
    assert json.loads(write_alert(alert)) == content


@pytest.mark.parametrize(
    ("content", "field", "rule"),
    [
        (alert_json(identifier="a b"), "identifier", "R1"),
        (alert_json(identifier=""), "identifier", "R1"),
        (alert_json(sender="a,b"), "sender", "R1"),
        (alert_json(sent="2030-01-02T03:04:05Z"), "sent", "R2"),
        (alert_json(sent="2030-01-02T03:04:05.5-00:00"), "sent", "R2"),
        (alert_json(sent="2030-01-02T03:04:05,01:00"), "sent", "R2"),
        (alert_json(sent="2030-02-30T03:04:05-00:00"), "sent", "R2"),
        (alert_json(sent="0001-01-01T00:00:00+14:00"), "sent", "R2"),
        (alert_json(sent="9999-12-31T23:59:59-00:00"), "sent", "R2"),
        (alert_json(sent=5), "sent", "R2"),
        (alert_json(groups=['a"b']), "groups[0]", "6.1"),
        (alert_json(groups=["a"] * 1001), "groups", "6.1"),
        (alert_json(info=[info_json(language="d_e")]), "info[0].language", "R3"),
        (alert_json(restriction="police"), "", "R4"),
        (alert_json(scope="Restricted"), "", "R4"),
        (alert_json(scope="Private", addresses=""), "", "R5"),
        (alert_json(addresses='"flood plain'), "addresses", "R5"),
        (alert_json(addresses='""'), "addresses", "R5"),
        (alert_json(references="a,b"), "references", "R6"),
        (alert_json(msgType="Update"), "", "R6"),
        (alert_json(references="warnings.example.org,flood-1,2030-01-02T04:04:05+01:00"), "", "R6"),
        (
            alert_json(info=[info_json(effective="2030-01-02T03:04:06-00:00", expires="2030-01-02T03:04:05-00:00")]),
            "info[0]",
            "R8",
        ),
        (
            alert_json(info=[info_json(resource=[{"resourceDesc": "map", "mimeType": "png"}])]),
            "info[0].resource[0].mimeType",
            "R10",
        ),
        (area_json(polygon=["1,2 3,4 1,2"]), "info[0].area[0].polygon[0]", "R11"),
        (area_json(polygon=["1,2 3,4 5,6 7,8"]), "info[0].area[0].polygon[0]", "R11"),
        (area_json(polygon=["91,2 3,4 5,6 91,2"]), "info[0].area[0].polygon[0]", "R11"),
        (area_json(polygon=["1,nan 3,4 5,6 1,nan"]), "info[0].area[0].polygon[0]", "R11"),
        (area_json(polygon=[" ".join(["1,2"] * 10_001)]), "info[0].area[0].polygon[0]", "R22"),
        (area_json(circle=["1,2 -1"]), "info[0].area[0].circle[0]", "R12"),
        (area_json(ceiling=5), "info[0].area[0]", "R14"),
        (area_json(altitude=6, ceiling=5), "info[0].area[0]", "R14"),
        (alert_json(info=[info_json(area=[{}])]), "info[0].area[0].areaDesc", "6.1"),
        (area_json(altitude="1e3"), "info[0].area[0].altitude", "6.1"),
        (alert_json(sent="2030-01-02T03:04:05+00:60"), "sent", "R2"),
        (alert_json(sent="2030-01-02T03:04:05+14:01"), "sent", "R2"),
        (alert_json(sent="2030-01-02T24:00:01-00:00"), "sent", "R2"),
        (alert_json(status="actual"), "status", "6.2"),
        (alert_json(colour="red"), "colour", "R21"),
        (alert_json(info=[info_json(headlin="x")]), "info[0].headlin", "R21"),
        (alert_json(note="a\x00b"), "note", "R20"),
        (alert_json(note="\ud800"), "note", "R20"),
        (alert_json(info=[info_json(category=[])]), "info[0].category", "6.1"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(content: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(AlertInvalidError) as caught:
        read(content)
    assert (caught.value.field, caught.value.rule) == (field, rule)
    assert rule in str(caught.value)


def test_a_missing_field_is_named() -> None:
    content = alert_json()
    del content["sender"], content["scope"]
    with pytest.raises(AlertInvalidError, match=r"sender: is missing; add it \[6.1\] \(and 1 more\)") as caught:
        read(content)
    assert [field for field, _, _ in caught.value.problems] == ["sender", "scope"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identifier": "a b"}, "identifier: 'a b': must be non-empty and hold no white space, comma, '<' or '&' [R1]"),
        ({"identifier": 5}, "identifier: 5: must be a text; write it in quotation marks [6.1]"),
        ({"sent": "today"}, "sent: 'today': must be written YYYY-MM-DDThh:mm:ss+hh:mm (UTC is -00:00; no Z"),
        ({"scope": "public"}, "scope: 'public': must be 'Public', 'Restricted' or 'Private'; write one of these [6.2]"),
        ({"groups": "river"}, "groups: 'river': must be a list; write it in square brackets [6.1]"),
        ({"groups": [""]}, "groups[0]: '': is empty; write it [6.1]"),
        ({"info": [3]}, "info[0]: must be an object; write its fields in braces [6.1]"),
        ({"note": "x" * 70 + "\x00"}, f"note: '{'x' * 59}…: U+0000 at position 70 is not an XML character; remove it"),
        ({"flavour": "sweet"}, "flavour: no such field; check its spelling [R21]"),
    ],
)
def test_a_wrong_value_is_shown_with_what_it_must_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(AlertInvalidError) as caught:
        read(alert_json() | changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b"[" * 20_000, b"1" * 5000])
def test_what_is_no_json_object_is_refused(value: bytes) -> None:
    with pytest.raises(AlertInvalidError) as caught:
        read_alert(value)
    assert caught.value.rule == "json"


def test_an_alert_has_a_ceiling_of_bytes() -> None:
    with pytest.raises(AlertInvalidError) as caught:
        read_alert(b" " * (ALERT_BYTES_MAX + 1))
    assert caught.value.rule == "R22"


def test_empty_optional_elements_count_as_absent() -> None:
    alert = read(alert_json(note=" ", references="", info=[info_json(language="", web="", expires="")]))
    assert (alert.note, alert.references, alert.info[0].web, alert.info[0].expires) == (None, None, None, None)
    assert alert.info[0].language == "en-US"


def test_names_and_references_are_taken_apart() -> None:
    alert = read(
        alert_json(
            addresses='a "flood plain"\n b', references="s,i,2029-01-01T00:00:00+02:00\n s,j,2029-01-01T00:00:00-00:00"
        )
    )
    assert alert.addressed == ("a", "flood plain", "b")
    assert [str(reference) for reference in alert.referred] == [
        "s,i,2029-01-01T00:00:00+02:00",
        "s,j,2029-01-01T00:00:00-00:00",
    ]


def test_an_id_is_of_sender_identifier_and_instant() -> None:
    alert = read(alert_json())
    same = read(alert_json(sent="2030-01-02T04:04:05+01:00", note="another body"))
    assert alert_id_of(alert) == alert_id_of(same)
    others = [alert_json(sender="x"), alert_json(identifier="x"), alert_json(sent="2030-01-02T03:04:06-00:00")]
    assert len({alert_id_of(alert), *(alert_id_of(read(other)) for other in others)}) == 4
    follower = read(alert_json(identifier="flood-2", references=str(alert.reference)))
    assert follower.referred[0].alert_id == alert_id_of(alert)


def test_an_id_of_a_key_does_not_mix_owner_and_key() -> None:
    assert alert_id_of_key("ab", "c") == alert_id_of_key("ab", "c")
    assert alert_id_of_key("ab", "c") != alert_id_of_key("a", "bc")


def test_an_event_survives_its_record() -> None:
    alert = read(alert_json())
    event = AlertEvent(
        event=AlertAction.SUBMITTED, alert_id=alert_id_of(alert), alert=alert, at=NOW, actor="duty", reason="drill"
    )
    assert read_event(write_event(event)) == event


def test_a_bare_alert_is_submitted_under_its_derived_id() -> None:
    value = json.dumps(alert_json()).encode()
    event = read_event(value, None, [("ce_time", b"2030-01-01T00:00:00+00:00")], received_at=NOW)
    assert (event.event, event.actor, event.alert.status if event.alert else None) == (
        "submitted",
        "kafka",
        Status.TEST,
    )
    assert event.alert_id == alert_id_of(read(alert_json()))
    assert event.at == datetime(2030, 1, 1, tzinfo=UTC)
    assert read_event(value, received_at=NOW).at == NOW
    assert read_event(value) == read_event(value)


def test_a_cancel_takes_its_alert_from_the_key() -> None:
    alert_id = uuid4()
    event = read_event(b'{"event": "cancelled"}', str(alert_id).encode(), received_at=NOW)
    assert (event.event, event.alert_id, event.actor, event.at) == ("cancelled", alert_id, "kafka", NOW)


def test_readers_of_events_ignore_fields_of_newer_writers() -> None:
    value = json.dumps({"event": "submitted", "alert": alert_json(shade="x"), "colour": 1}).encode()
    assert read_event(value, received_at=NOW).alert == read(alert_json())


@pytest.mark.parametrize(
    ("value", "field", "rule"),
    [
        (None, "", "json"),
        (b'{"event": "gone"}', "event", "6.2"),
        (b'{"event": "cancelled"}', "alert_id", "6.1"),
        (b'{"event": "submitted", "alert_id": "00000000-0000-0000-0000-000000000001"}', "", "event"),
        (json.dumps({"event": "submitted", "alert_id": str(UUID(int=1)), "alert": alert_json()}).encode(), "", "event"),
        (b'{"event": "submitted", "alert": []}', "alert", "6.1"),
        (json.dumps({"event": "submitted", "alert": alert_json(sent="x")}).encode(), "alert.sent", "R2"),
        (
            b'{"event": "cancelled", "alert_id": "00000000-0000-0000-0000-000000000001", "at": "2030-01-01T00:00:00"}',
            "at",
            "R2",
        ),
        (
            b'{"event": "cancelled", "alert_id": "00000000-0000-0000-0000-000000000001", "at": "9999-12-31T00:00:00Z"}',
            "at",
            "R2",
        ),
    ],
)
def test_a_record_that_cannot_be_read_names_field_and_rule(value: bytes | None, field: str, rule: str) -> None:
    with pytest.raises(AlertInvalidError) as caught:
        read_event(value, received_at=NOW)
    assert (caught.value.field, caught.value.rule) == (field, rule)


def test_alerts_are_frozen() -> None:
    alert = read(alert_json())
    with pytest.raises(ValueError, match="frozen"):
        alert.note = "x"  # type: ignore[misc]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {
        "event",
        "alert_id",
        "alert",
        "at",
        "actor",
        "sent",
        "info",
        "references",
        "addresses",
        "groups",
        "scope",
        "msgType",
    }
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), st.binary(max_size=4) | st.none())
def test_any_record_is_an_event_or_a_fault_with_a_rule(fields: dict[str, Any], key: bytes | None) -> None:
    for content in (fields, alert_json(**fields), {"event": "submitted", "alert": alert_json(**fields)}):
        try:
            event = read_event(json.dumps(content).encode(), key, [("ce_time", b"\xff")], received_at=NOW)
        except AlertInvalidError as error:
            answered: object = error.rule
        else:
            answered = read_event(write_event(event)) == event
        assert answered


@given(st.binary(max_size=40))
def test_any_octets_are_refused(value: bytes) -> None:
    with pytest.raises(AlertInvalidError):
        read_event(value)
