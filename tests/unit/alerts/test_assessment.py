"""Whether an alert is sent: what the API says of it alone, and what the planner says with routes and facts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alerts.assessment import (
    Assessment,
    Facts,
    assess,
    explain_empty,
    read_content,
    read_unchecked,
    why_alarm,
)
from broadcast.lifecycle import Action, AlertState, Known, Transition
from broadcast.routing import Account, Route
from broadcast.settings import Settings
from schemas.alert import Alert, Area, Category, Certainty, Info, MsgType, Scope, Severity, Status, Urgency
from schemas.lane import Lane

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SETTINGS = Settings(highest_segments=2)
TOO_LONG = "water " * 60


def route(name: str, *, live: bool, simulated: bool = False) -> Route:
    account = Account(name=name, host="h", port=1, system_id="s", simulated=simulated)
    return Route(name=name, prefixes=("+",), live=live, accounts=(account,))


LIVE, SIMULATED = route("live", live=True), route("simulated", live=False)

OFFSETS = st.sampled_from([None, timedelta(-1), timedelta(0), timedelta(seconds=1), timedelta(hours=1)])


@st.composite
def infos(draw: st.DrawFn) -> Info:
    offset = draw(OFFSETS)
    return Info(
        language=draw(st.sampled_from(["en-US", "de", "EN-us"])),
        category=(Category.MET,),
        event=draw(st.sampled_from(["Flood", "\u200b", TOO_LONG])),
        urgency=draw(st.sampled_from(Urgency)),
        severity=draw(st.sampled_from(Severity)),
        certainty=draw(st.sampled_from(Certainty)),
        expires=None if offset is None else NOW + offset,
    )


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """Alerts whose references name older alerts of the same sender, with and without faults of their own."""
    return Alert(
        identifier="new",
        sender="s",
        sent=NOW - draw(st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(days=3)])),
        status=draw(st.sampled_from(Status)),
        msg_type=draw(st.sampled_from(MsgType)),
        scope=Scope.PUBLIC,
        references="s,old,2029-01-01T00:00:00-00:00",
        addresses=draw(st.sampled_from([None, "river", "group:river"])),
        groups=draw(st.sampled_from([(), ("river",)])),
        info=tuple(draw(st.lists(infos(), max_size=2))),
    )


def known(alert: Alert, state: AlertState = AlertState.SENDING) -> list[Known]:
    return [Known(reference.alert_id, reference, state, alert.status) for reference in alert.referred]


def asked_by_api(alert: Alert) -> Assessment:
    # It asks `require_valid` first, for the warnings.
    return assess(alert, read_unchecked(alert, SETTINGS, now=NOW), now=NOW)


def asked_by_planner(
    alert: Alert, facts: Facts, routes: Sequence[Route] = (LIVE, SIMULATED), now: datetime = NOW
) -> Assessment:
    return assess(alert, read_unchecked(alert, SETTINGS, now=now), now=now, routes=routes, facts=facts)


@st.composite
def anything_stored(draw: st.DrawFn, alert: Alert) -> Facts:
    return Facts(
        known=draw(st.sampled_from([[], known(alert), known(alert, AlertState.REFUSED)])),
        namesake=draw(st.sampled_from([None, UUID(int=1)])),
        cancelled=draw(st.booleans()),
        missing_groups=draw(st.sampled_from([(), ("river",)])),
        has_people=draw(st.booleans()),
    )


@given(st.data(), alerts(), st.lists(st.sampled_from([LIVE, SIMULATED]), max_size=2))
def test_what_the_api_refuses_is_never_planned(data: st.DataObject, alert: Alert, routes: list[Route]) -> None:
    facts = data.draw(anything_stored(alert))
    if asked_by_planner(alert, facts, routes).transition is Transition.PLANNED:
        assert asked_by_api(alert).error is None
    if asked_by_api(alert).error is not None:
        assert asked_by_planner(alert, facts, routes).transition is not Transition.PLANNED


@given(alerts())
def test_what_the_api_accepts_is_planned_where_nothing_stored_speaks_against_it(alert: Alert) -> None:
    early, late = asked_by_api(alert), asked_by_planner(alert, Facts(known=known(alert)))
    assert (early.error is None) == (late.transition is Transition.PLANNED)
    assert str(early.error) == str(late.error)
    assert early.transition == late.transition
    assert early.decision.action == late.decision.action


@given(st.data(), alerts(), st.lists(st.sampled_from([LIVE, SIMULATED]), max_size=2))
def test_of_what_is_in_force_something_is_sent_or_an_alarm_says_why_not(
    data: st.DataObject, alert: Alert, routes: list[Route]
) -> None:
    facts = data.draw(anything_stored(alert))
    content = read_unchecked(alert, SETTINGS, now=NOW)
    found = asked_by_planner(alert, facts, routes)
    alarm = why_alarm(alert, content, found, received_at=NOW)
    for_people = alert.status in (Status.ACTUAL, Status.EXERCISE, Status.TEST) and alert.msg_type in (
        MsgType.ALERT,
        MsgType.UPDATE,
    )
    ends = [info.expires or alert.sent + timedelta(hours=6) for info in alert.info]
    if for_people and any(end > NOW for end in ends) and facts.namesake is None and not facts.cancelled:
        assert (found.transition is Transition.PLANNED) != bool(alarm)
    if alarm:
        assert found.reason in alarm


@given(st.data(), alerts())
def test_an_alert_that_lapses_while_it_waits_to_be_planned_raises_an_alarm(data: st.DataObject, alert: Alert) -> None:
    late = NOW + timedelta(days=2)
    facts = Facts(known=known(alert))
    content = read_unchecked(alert, SETTINGS, now=late)
    found = asked_by_planner(alert, facts, now=late)
    alarm = why_alarm(alert, content, found, received_at=NOW)
    if found.transition is Transition.EXPIRED and content.expires_at > NOW:
        assert alarm
    if content.expires_at <= NOW and alert.msg_type is not MsgType.CANCEL:
        assert not alarm


@given(alerts())
def test_content_has_texts_and_groups_or_says_what_is_missing(alert: Alert) -> None:
    content = read_content(alert, SETTINGS, now=NOW)
    assert bool(content.faults) == (not content.groups or not content.variants)
    if content.faults:
        with pytest.raises(type(content.faults[0])):
            content.require_variants()
    else:
        assert content.require_variants() == content.variants


def alert_of(**changes: object) -> Alert:
    content = {
        "identifier": "new",
        "sender": "s",
        "sent": NOW,
        "status": Status.ACTUAL,
        "msg_type": MsgType.ALERT,
        "scope": Scope.PUBLIC,
        "groups": ("river",),
        "info": (
            Info(
                category=(Category.MET,),
                event="Flood",
                urgency=Urgency.IMMEDIATE,
                severity=Severity.EXTREME,
                certainty=Certainty.OBSERVED,
                expires=NOW + timedelta(hours=1),
            ),
        ),
    }
    return Alert.model_validate(content | changes)


UPDATE = {"msg_type": MsgType.UPDATE, "references": "s,old,2029-01-01T00:00:00-00:00"}


@pytest.mark.parametrize(
    ("changes", "facts", "routes", "transition", "reason"),
    [
        ({}, Facts(), [LIVE], Transition.PLANNED, ""),
        ({}, Facts(namesake=UUID(int=1)), [LIVE], Transition.REFUSED, "is alert 00000000-0000-0000-0000-000000000001"),
        ({}, Facts(cancelled=True), [LIVE], Transition.CANCELLED, "was cancelled before it came"),
        ({"status": Status.DRAFT}, Facts(), [LIVE], Transition.REFUSED, "status Draft is not for recipients"),
        ({"groups": ()}, Facts(), [LIVE], Transition.REFUSED, "addresses: names no target group"),
        ({"status": Status.TEST}, Facts(), [LIVE], Transition.REFUSED, "status Test: no route may carry it"),
        ({}, Facts(missing_groups=["a", "b"]), [LIVE], Transition.REFUSED, "addresses: no group a, b is known"),
        ({}, Facts(has_people=False), [LIVE], Transition.PLANNED, ""),
        (UPDATE, Facts(has_people=False), [LIVE], Transition.REFUSED, "addresses: no recipient is in river"),
        (UPDATE, Facts(), [LIVE], Transition.PLANNED, "not known here: s,old"),
    ],
)
def test_the_first_reason_that_holds_decides(
    changes: dict[str, object], facts: Facts, routes: list[Route], transition: Transition, reason: str
) -> None:
    found = asked_by_planner(alert_of(**changes), facts, routes)
    assert (found.transition, found.error is None) == (transition, transition is Transition.PLANNED)
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


OF_SIMULATOR = route("sim", live=False, simulated=True)


@pytest.mark.parametrize(
    ("status", "routes", "rehearsal", "reason"),
    [
        (
            "Actual",
            [OF_SIMULATOR],
            False,
            "status Actual: no phone is behind the simulated routes that would carry it (sim)",
        ),
        ("Actual", [OF_SIMULATOR], True, ""),
        ("Actual", [LIVE, OF_SIMULATOR], False, ""),
        ("Actual", [OF_SIMULATOR, route("own", live=False)], False, "status Actual: no phone is behind"),
        ("Actual", [OF_SIMULATOR, route("own", live=False)], True, "status Actual: no phone is behind"),
        ("Actual", [route("load", live=True, simulated=True)], False, "status Actual: no phone is behind"),
        ("Test", [OF_SIMULATOR], False, ""),
        ("Exercise", [OF_SIMULATOR], False, ""),
    ],
)
def test_an_actual_alert_goes_by_a_simulator_only_in_a_rehearsal(
    status: str, routes: list[Route], rehearsal: bool, reason: str
) -> None:
    alert = alert_of(status=Status(status))
    content = read_unchecked(alert, SETTINGS, now=NOW)
    found = assess(alert, content, now=NOW, routes=routes, facts=Facts(), rehearsal=rehearsal)
    assert found.reason.startswith(reason)
    assert (found.transition is Transition.PLANNED) is (not reason) is (found.error is None)


def test_a_cancel_of_an_actual_alert_needs_no_rehearsal() -> None:
    cancel = alert_of(msg_type=MsgType.CANCEL, references="s,old,2029-01-01T00:00:00-00:00")
    assert asked_by_planner(cancel, Facts(known=known(cancel)), [OF_SIMULATOR]).transition is Transition.PLANNED


def test_an_update_to_nobody_replaces_nothing() -> None:
    alert = alert_of(**UPDATE)
    facts = Facts(known=known(alert), has_people=False)
    found = asked_by_planner(alert, facts)
    assert (found.transition, found.reason) == (
        Transition.REFUSED,
        "addresses: no recipient is in river, so it replaces nothing",
    )


def test_an_alert_ends_at_its_expiry_and_not_before() -> None:
    ends = NOW + timedelta(hours=1)
    assert asked_by_planner(alert_of(), Facts(), now=ends - timedelta(microseconds=1)).transition is Transition.PLANNED
    found = asked_by_planner(alert_of(), Facts(), now=ends)
    assert (found.transition, found.reason) == (
        Transition.EXPIRED,
        "expired at 2030-01-01T13:00:00+00:00, before it came",
    )
    assert found.error is not None
    assert found.error.findings == (
        ("info.expires", "R8", "the alert expired at 2030-01-01T13:00:00+00:00: nothing would be sent"),
    )


def test_content_is_what_the_alert_says() -> None:
    content = read_content(alert_of(), SETTINGS, now=NOW)
    assert (content.lane, content.groups) == (Lane.IMMEDIATE, ("river",))
    assert [variant.text for variant in content.variants] == ["Flood"]
    assert content.expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("missing", "members", "reason"),
    [
        (["b"], 0, "addresses: no group b is known any more; import it, and publish anew"),
        ([], 0, "addresses: no recipient is in a, b; name a group that has members"),
        (
            [],
            1_200,
            "addresses: no marked participant is in a, b, which has 1,200 members; set participant = yes for who takes "
            "part in the CSV, and import it (docs/accounts.md)",
        ),
    ],
)
def test_an_empty_audience_says_why(missing: list[str], members: int, reason: str) -> None:
    assert explain_empty(["a", "b"], missing, participants_only=members > 0, members=members) == reason


def test_an_exercise_for_a_group_without_anybody_says_that_it_has_no_members() -> None:
    reason = explain_empty(["a"], [], participants_only=True, members=0)
    assert reason == "addresses: no recipient is in a; name a group that has members"


CROSSING = {"areaDesc": "river", "polygon": ("0,0 1,1 1,0 0,1 0,0",)}


def test_a_rule_of_cap_that_only_the_api_would_ask_refuses_at_the_planner_too() -> None:
    info = alert_of().info[0].model_copy(update={"area": (Area.model_validate(CROSSING),)})
    found = asked_by_planner(alert_of(info=(info,)), Facts())
    assert found.transition is Transition.REFUSED
    assert found.reason.startswith("info[0].area[0].polygon[0]: crosses itself")


def test_a_cancel_with_a_broken_rule_stops_all_the_same() -> None:
    info = alert_of().info[0].model_copy(update={"area": (Area.model_validate(CROSSING),)})
    alert = alert_of(info=(info,), **UPDATE | {"msg_type": MsgType.CANCEL})
    found = asked_by_planner(alert, Facts(known=known(alert)))
    assert (found.transition, found.decision.action) == (Transition.PLANNED, Action.STOP)
