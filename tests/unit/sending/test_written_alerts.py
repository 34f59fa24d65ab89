"""A receipt may be of another alert: one whose writes can have the same date in some time zone, or are not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.answers import written_alerts
from broadcast.sending.answers.receipt_match import fits
from broadcast.sending.answers.written_alerts import WrittenAlerts
from broadcast.sending.control import ControlView
from broadcast.smpp.codec.receipts import MessageState, ReceiptContent
from schemas.control import Control
from schemas.lane import Lane
from tests.support.settlement import AT
from tests.unit.sending.test_receipt_match import QUARTERS, date

MINUTE = 60_000
HOUR = 60 * MINUTE
SINCE = AT - 100 * HOUR


def make_alerts(*others: tuple[str, int, int], alone_since: int | None = SINCE) -> WrittenAlerts:
    """With other alerts in control: id, when it was read first, when it expires."""
    view = ControlView()
    for alert_id, seen, expires_at in others:
        view.controls[alert_id] = Control(alert_id, Lane.IMMEDIATE, "Actual", expires_at, ())
        view.seen[alert_id] = seen
    alerts = WrittenAlerts(view)
    alerts.note_alone(alone_since)
    return alerts


@pytest.mark.parametrize(
    ("writes", "conflict"),
    [
        ([AT - 16_000], True),
        ([AT - 14 * MINUTE], True),
        ([AT - 15 * MINUTE - 5_000], True),
        ([AT - 20 * MINUTE], False),
        ([AT - 20 * MINUTE, AT - 17 * MINUTE], False),
        ([AT - 33 * MINUTE, AT - 28 * MINUTE], True),
        ([AT - 3 * HOUR - 50_000], True),
        ([AT - 3 * HOUR + 50_000], True),
        ([AT - 3 * HOUR - 70_000], False),
        ([AT - 3 * HOUR, AT - 3 * HOUR + 15 * MINUTE], True),
        ([AT - 5 * HOUR + MINUTE, AT - 5 * HOUR + 17 * MINUTE], True),
        ([AT - 26 * HOUR], True),
        ([AT - 26 * HOUR - 15 * MINUTE], False),
        ([AT + 5_000], True),
        ([AT + 5 * MINUTE], False),
    ],
)
def test_another_alert_conflicts_when_its_date_could_be_that_of_this_write(writes: list[int], conflict: bool) -> None:
    alerts = make_alerts()
    for at in writes:
        alerts.note("acc", "one", at)
    assert alerts.may_be_other("acc", "two", AT) is conflict
    assert not alerts.may_be_other("acc", "one", AT), "its own writes do not count"
    assert not alerts.may_be_other("other", "two", AT), "nor those of another account"


@given(
    gap=st.builds(
        lambda zones, more: max(0, zones * 15 * MINUTE + more), st.integers(0, 104), st.integers(-70_000, 70_000)
    ),
    lasted=st.integers(0, 30 * MINUTE),
    at_share=st.floats(0, 1),
    quarters=QUARTERS,
    delay=st.integers(0, MINUTE),
    held=st.integers(0, 27 * HOUR),
    clock=st.integers(-30_000, 30_000),
)
def test_no_receipt_of_an_older_alert_fits_a_newer_write_that_does_not_conflict(
    gap: int, lasted: int, at_share: float, quarters: int, delay: int, held: int, clock: int
) -> None:
    first = AT - gap
    last = min(first + lasted, AT)
    alerts = make_alerts()
    alerts.note("acc", "one", first)
    alerts.note("acc", "one", last)
    submitted = first + int((last - first) * at_share)
    receipt = ReceiptContent(
        b"r1",
        MessageState.DELIVERED,
        submitted=date(submitted + clock, quarters),
        done=date(submitted + clock + delay, quarters),
    )
    arrivals = (submitted + delay + held, AT + delay, AT + delay + 5_000)
    if any(fits(receipt, arrived_at=arrived, written_at=AT) for arrived in arrivals):
        assert alerts.may_be_other("acc", "two", AT)


@pytest.mark.parametrize(
    ("alone_since", "seen", "expires_at", "conflict"),
    [
        (AT - HOUR, AT - 2 * HOUR, AT + HOUR, True),
        (AT - HOUR, AT - 2 * HOUR, AT - 25 * HOUR, True),
        (AT - HOUR, AT - 2 * HOUR, AT - 26 * HOUR, False),
        (AT - HOUR, AT - HOUR + 30_000, AT + HOUR, True),
        (AT - HOUR, AT - HOUR + 60_000, AT + HOUR, False),
        (AT - 26 * HOUR, AT - 30 * HOUR, AT + HOUR, False),
        (None, AT - 1_000, AT + HOUR, True),
        (None, AT - 1_000, AT - 26 * HOUR, False),
    ],
)
def test_an_alert_that_another_process_may_have_written_conflicts_until_its_dates_are_too_old(
    alone_since: int | None, seen: int, expires_at: int, conflict: bool
) -> None:
    alerts = make_alerts(("one", seen, expires_at), ("two", seen, AT + HOUR), alone_since=alone_since)
    assert alerts.may_be_other("acc", "two", AT) is conflict


def test_after_a_start_nothing_but_the_own_alert_can_be_meant_when_there_is_no_other() -> None:
    alerts = make_alerts(("two", AT - HOUR, AT + HOUR), alone_since=None)
    assert not alerts.may_be_other("acc", "two", AT)


def test_an_alert_whose_writes_are_forgotten_conflicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written_alerts, "ALERTS_LIMIT", 2)
    alerts = make_alerts(("one", AT - 2 * HOUR, AT + HOUR))
    alerts.note("acc", "one", AT - 80 * MINUTE)
    assert not alerts.may_be_other("acc", "two", AT)
    alerts.note("acc", "three", AT - 70 * MINUTE)
    alerts.note("acc", "two", AT)
    assert alerts.may_be_other("acc", "two", AT)
