"""Jobs that cannot be sent make a bounded number of alarms, whatever alerts they name."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alarms import JOBS_FAILED
from broadcast.sending.dispatching.failed_alerts import MOST_SUBJECTS, REPEAT_SECONDS, TOGETHER, FailedAlerts
from schemas.job import Job
from tests.support.dispatch import SenderUnderTest


class Raised:
    """Alarms as they are raised, by a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.alarms: list[tuple[str, str, str]] = []
        self.failed = FailedAlerts(lambda *alarm: self.alarms.append(alarm), lambda: self.now)


def test_runs_of_one_alert_raise_one_alarm_and_again_after_a_minute() -> None:
    raised = Raised()
    for _ in range(1_000):
        raised.failed.note("alert", "no control record")
    assert raised.alarms == [(JOBS_FAILED, "alert", "jobs got no submit: no control record")]
    raised.now += REPEAT_SECONDS
    raised.failed.note("alert", "no control record")
    assert len(raised.alarms) == 2


def test_many_unknown_alerts_have_one_alarm_together() -> None:
    raised = Raised()
    for number in range(1_000):
        raised.failed.note(f"alert {number}", "no control record")
    subjects = [subject for _, subject, _ in raised.alarms]
    assert subjects == [*(f"alert {number}" for number in range(MOST_SUBJECTS)), TOGETHER]
    assert raised.alarms[-1][2] == "jobs of more than 20 alerts got no submit; alert 20: no control record"


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 40))))
def test_no_subject_is_raised_twice_a_minute_and_there_are_never_more_than_so_many(
    noted: list[tuple[int, float]],
) -> None:
    raised = Raised()
    at: dict[str, list[float]] = {}
    for alert, seconds in noted:
        raised.now += seconds
        before = len(raised.alarms)
        raised.failed.note(str(alert), "reason")
        for _, subject, _ in raised.alarms[before:]:
            at.setdefault(subject, []).append(raised.now)
    assert len(at) <= MOST_SUBJECTS + 1
    for times in at.values():
        assert all(later - earlier >= REPEAT_SECONDS for earlier, later in pairwise(times))


@pytest.mark.parametrize("alerts", [1, 50])
async def test_a_sender_that_gets_jobs_of_unknown_alerts_raises_few_alarms(alerts: int) -> None:
    sender = SenderUnderTest()
    names = [f"00000000-0000-0000-0000-{number:012}" for number in range(alerts)]
    jobs = [Job(names[number % alerts], number, "+447700900123", text=f"text {number}") for number in range(100)]
    for name in names:
        sender.jobs.waiting[name] = 0.0
    sender.feed(sender.jobs, jobs)
    for _ in range(200):
        for name in names:
            sender.jobs.waiting[name] = 0.0
        sender.dispatch.settle_unsent()
    assert len(sender.outcomes()) == 100
    assert len(sender.alarms) == min(alerts, MOST_SUBJECTS + 1)
