"""Alerts that wait for the planner: shown in their place of the list, with their cancel, and forgotten when stored."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from broadcast.alerts.publishing import alert_event, cancelled_event
from broadcast.alerts.unplanned import ENTRIES_MAX, UnplannedAlerts, place_of, read_entry
from broadcast.lifecycle import AlertState
from schemas.alert import Alert, write_event


def keep(alerts: UnplannedAlerts, value: bytes) -> bool:
    entry = read_entry(value)
    if entry is not None:
        alerts.keep(entry)
    return entry is not None


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def event_of(number: int, seconds: int = 0) -> tuple[UUID, bytes]:
    alert = Alert.model_validate(
        {
            "identifier": f"a{number}",
            "sender": "s@example.org",
            "sent": "2026-11-22T12:00:00+02:00",
            "status": "Actual",
            "msgType": "Alert",
            "scope": "Public",
        }
    )
    event = alert_event(alert, actor="anna", now=NOW + timedelta(seconds=seconds))
    return event.alert_id, write_event(event)


def test_a_submitted_alert_is_named_as_it_was_published() -> None:
    alert_id, value = event_of(1)
    read = UnplannedAlerts()
    assert keep(read, value)
    found = read.find(alert_id)
    assert found is not None
    assert (found.identifier, found.actor, found.accepted_at, found.status) == ("a1", "anna", NOW, "Actual")
    assert found.sent == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert found.state is AlertState.ACCEPTED
    assert "waits for the planner" in found.reason


def test_a_cancel_is_noted_before_and_after_its_alert() -> None:
    alert_id, value = event_of(1)
    cancel = write_event(cancelled_event(alert_id, actor="bob", reason="wrong", now=NOW))
    for values in ((value, cancel), (cancel, value)):
        alerts = UnplannedAlerts()
        for each in values:
            assert keep(alerts, each)
        found = alerts.find(alert_id)
        assert found is not None
        assert found.state is AlertState.CANCELLED
        assert found.reason.startswith("the cancel by bob (wrong) is noted")
        assert [each.alert_id for each in alerts.listed([AlertState.CANCELLED], None)] == [alert_id]
        assert alerts.listed([AlertState.ACCEPTED], None) == []
        assert alerts.cancel_of(alert_id, AlertState.SENDING) is not None
        assert alerts.cancel_of(alert_id, AlertState.COMPLETED) is not None
        assert alerts.cancel_of(alert_id, AlertState.EXPIRED) is None


def test_what_is_no_event_is_passed_over() -> None:
    alerts = UnplannedAlerts()
    for value in (b"", b"x", b"[]", b'{"event":"submitted"}', b"\xff", b"[" * 100_000):
        assert not keep(alerts, value)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 5), st.sets(st.integers(0, 11)))
def test_pages_show_each_alert_once_in_order(seconds: list[int], limit: int, stored: set[int]) -> None:
    alerts, ids = UnplannedAlerts(), []
    for number, second in enumerate(seconds):
        alert_id, value = event_of(number, second)
        keep(alerts, value)
        ids.append(alert_id)
    alerts.forget([alert_id for number, alert_id in enumerate(ids) if number in stored])
    seen, after = [], None
    while page := alerts.listed([], after)[:limit]:
        seen += page
        after = (page[-1].accepted_at, page[-1].alert_id)
    assert seen == sorted(seen, key=place_of)
    assert {each.alert_id for each in seen} == {each for number, each in enumerate(ids) if number not in stored}
    assert len(seen) == len({each.alert_id for each in seen})


def test_only_the_latest_are_kept() -> None:
    alerts = UnplannedAlerts()
    for number in range(ENTRIES_MAX + 1):
        keep(alerts, event_of(number, number)[1])
    listed = alerts.listed([], None)
    assert len(listed) == ENTRIES_MAX
    assert listed[0].identifier == f"a{ENTRIES_MAX}"


def test_the_first_event_of_an_alert_stays() -> None:
    alerts = UnplannedAlerts()
    alert_id, first = event_of(1)
    keep(alerts, first)
    keep(alerts, event_of(1, seconds=5)[1])
    found = alerts.find(alert_id)
    assert found is not None
    assert found.accepted_at == NOW


def test_an_alert_without_the_zone_of_its_time_has_no_place_in_the_list() -> None:
    _, value = event_of(1)
    naive = re.sub(rb'("at": ?"[^"]*?)(Z|[+-]00:00)"', rb'\1"', value)
    assert naive != value
    assert not keep(UnplannedAlerts(), naive)
