"""Which jobs may be submitted."""

import pytest

from broadcast.sending.rules import OUTCOME_OF, Eligibility, assess, longest_wait_ms
from schemas.control import Control
from schemas.lane import Lane
from schemas.status import Outcome

NOW = 1_000_000


def control(status: str = "Actual", expires_at: int = NOW + 1) -> Control:
    return Control("a", Lane.ROUTINE, status, expires_at, ())


@pytest.mark.parametrize(
    ("given", "stopped", "live", "absent", "eligibility"),
    [
        (control(), False, True, False, Eligibility.SUBMIT),
        (control(), False, False, False, Eligibility.SUBMIT),
        (control(), True, True, False, Eligibility.CANCEL),
        (control(expires_at=NOW), False, True, False, Eligibility.EXPIRE),
        (control(expires_at=NOW), True, True, False, Eligibility.CANCEL),
        (control("Exercise"), False, True, False, Eligibility.SUBMIT),
        (control("Test"), False, True, False, Eligibility.FAIL),
        (control("Test"), False, False, False, Eligibility.SUBMIT),
        (control("System"), False, False, False, Eligibility.FAIL),
        (control("Draft"), False, False, False, Eligibility.FAIL),
        (control("actual"), False, True, False, Eligibility.FAIL),
        (None, False, True, False, Eligibility.WAIT),
        (None, False, True, True, Eligibility.FAIL),
        (None, True, True, False, Eligibility.CANCEL),
    ],
)
def test_assess(given: Control | None, stopped: bool, live: bool, absent: bool, eligibility: Eligibility) -> None:
    found = assess(given, stopped=stopped, live=live, now=NOW, absent=absent)
    assert found.eligibility is eligibility
    assert bool(found.reason) is (eligibility in OUTCOME_OF)


@pytest.mark.parametrize(("for_phones", "simulated"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_was_planned_for_phones_goes_by_no_simulated_route(for_phones: bool, simulated: bool) -> None:
    given = Control("a", Lane.ROUTINE, "Actual", NOW + 1, (), for_phones=for_phones)
    found = assess(given, stopped=False, live=False, now=NOW, absent=False, simulated=simulated)
    assert (found.eligibility is Eligibility.FAIL) is (for_phones and simulated)
    stopped = assess(given, stopped=True, live=False, now=NOW, absent=False, simulated=simulated)
    assert stopped.eligibility is Eligibility.CANCEL


def test_a_delayed_job_waits_a_fifth_longer_than_its_topic_says_at_most() -> None:
    assert [longest_wait_ms(seconds) for seconds in (5, 30)] == [6_000, 36_000]


def test_what_is_not_submitted_has_an_outcome() -> None:
    assert OUTCOME_OF == {
        Eligibility.CANCEL: Outcome.CANCELLED,
        Eligibility.EXPIRE: Outcome.EXPIRED,
        Eligibility.FAIL: Outcome.FAILED,
    }
