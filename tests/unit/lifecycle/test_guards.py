"""Which CAP status goes where, and how long an alert may be sent."""

from datetime import UTC, datetime, timedelta

import pytest

from broadcast.lifecycle import expires_at, may_carry, participants_only
from schemas.alert import Alert, Category, Certainty, Info, MsgType, Scope, Severity, Status, Urgency

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = 3600


@pytest.mark.parametrize(
    ("status", "live", "simulated"),
    [
        (Status.ACTUAL, True, True),
        (Status.EXERCISE, True, True),
        (Status.TEST, False, True),
        (Status.SYSTEM, False, False),
        (Status.DRAFT, False, False),
        ("actual", False, False),
    ],
)
def test_which_status_a_route_may_carry(status: str, live: bool, simulated: bool) -> None:
    assert (may_carry(status, True), may_carry(status, False)) == (live, simulated)


def test_an_exercise_is_for_participants_only() -> None:
    assert [status for status in Status if participants_only(status)] == [Status.EXERCISE]


def alert(*lifetimes_hours: float | None) -> Alert:
    infos = tuple(
        Info(
            category=(Category.MET,),
            event="Flood",
            urgency=Urgency.IMMEDIATE,
            severity=Severity.SEVERE,
            certainty=Certainty.LIKELY,
            expires=None if hours is None else NOW + timedelta(hours=hours),
        )
        for hours in lifetimes_hours
    )
    return Alert(
        identifier="i", sender="s", sent=NOW, status=Status.TEST, msg_type=MsgType.ALERT, scope=Scope.PUBLIC, info=infos
    )


@pytest.mark.parametrize(
    ("lifetimes_hours", "expected_hours"),
    [((2,), 2), ((2, 1), 2), ((None,), 6), ((8, None), 8), ((), 6), ((48,), 24), ((-1,), -1)],
)
def test_an_alert_expires_with_its_last_info(lifetimes_hours: tuple[float | None, ...], expected_hours: float) -> None:
    expires = expires_at(alert(*lifetimes_hours), default_seconds=6 * HOUR, ceiling_seconds=24 * HOUR, now=NOW)
    assert expires == NOW + timedelta(hours=expected_hours)


def test_the_default_counts_from_sent_and_the_ceiling_from_now() -> None:
    late = NOW + timedelta(hours=1)
    assert expires_at(alert(None), default_seconds=HOUR, ceiling_seconds=HOUR, now=late) == late
    assert expires_at(alert(9), default_seconds=HOUR, ceiling_seconds=HOUR, now=late) == late + timedelta(hours=1)
