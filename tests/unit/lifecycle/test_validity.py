"""Until when an alert and each of its infos are in force, at the very instants where they end."""

from datetime import UTC, datetime, timedelta

import pytest

from broadcast.lifecycle.validity import ends_of, expires_at, in_force
from schemas.alert import Alert, Category, Certainty, Info, MsgType, Scope, Severity, Status, Urgency

SENT = datetime(2030, 1, 1, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def alert_until(*ends: datetime | None) -> Alert:
    return Alert(
        identifier="i",
        sender="s",
        sent=SENT,
        status=Status.ACTUAL,
        msg_type=MsgType.ALERT,
        scope=Scope.PUBLIC,
        info=tuple(
            Info(
                category=(Category.MET,),
                event="Flood",
                urgency=Urgency.IMMEDIATE,
                severity=Severity.EXTREME,
                certainty=Certainty.OBSERVED,
                expires=end,
            )
            for end in ends
        ),
    )


def test_an_info_is_in_force_until_just_before_it_expires() -> None:
    assert in_force((SENT, SENT + MOMENT, SENT - MOMENT, SENT + HOUR), SENT) == (1, 3)


def test_an_info_ends_when_it_expires_or_so_long_after_the_alert_was_sent() -> None:
    alert = alert_until(SENT, None, SENT + HOUR)
    assert ends_of(alert, default_seconds=60) == (SENT, SENT + timedelta(minutes=1), SENT + HOUR)


@pytest.mark.parametrize(
    ("ends", "now", "expected"),
    [
        ((SENT + HOUR, SENT + 3 * HOUR, SENT + 2 * HOUR), SENT, SENT + 3 * HOUR),
        ((SENT,), SENT + HOUR, SENT),
        ((None,), SENT, SENT + timedelta(minutes=1)),
        ((), SENT, SENT + timedelta(minutes=1)),
        ((SENT + 24 * HOUR,), SENT, SENT + 24 * HOUR),
        ((SENT + 24 * HOUR + SECOND,), SENT, SENT + 24 * HOUR),
        ((SENT + 24 * HOUR + SECOND,), SENT + SECOND, SENT + 24 * HOUR + SECOND),
    ],
)
def test_an_alert_expires_with_its_last_info_and_within_the_ceiling(
    ends: tuple[datetime | None, ...], now: datetime, expected: datetime
) -> None:
    alert = alert_until(*ends)
    assert expires_at(alert, default_seconds=60, ceiling_seconds=86_400, now=now) == expected
