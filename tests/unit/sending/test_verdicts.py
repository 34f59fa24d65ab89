"""Which jobs may be submitted: stop before everything, and only what is real."""

import pytest

from broadcast.sending.verdicts import OUTCOME_OF, Verdict, judge
from schemas.control import Control
from schemas.lane import Lane
from schemas.status import Outcome

NOW = 1_000_000


def control(status: str = "Actual", expires_at: int = NOW + 1) -> Control:
    return Control("a", Lane.ROUTINE, status, expires_at, ())


@pytest.mark.parametrize(
    ("given", "stopped", "live", "absent", "verdict"),
    [
        (control(), False, True, False, Verdict.SUBMIT),
        (control(), False, False, False, Verdict.SUBMIT),
        (control(), True, True, False, Verdict.CANCEL),
        (control(expires_at=NOW), False, True, False, Verdict.EXPIRE),
        (control(expires_at=NOW), True, True, False, Verdict.CANCEL),
        (control("Exercise"), False, True, False, Verdict.SUBMIT),
        (control("Test"), False, True, False, Verdict.FAIL),
        (control("Test"), False, False, False, Verdict.SUBMIT),
        (control("System"), False, False, False, Verdict.FAIL),
        (control("Draft"), False, False, False, Verdict.FAIL),
        (control("actual"), False, True, False, Verdict.FAIL),
        (None, False, True, False, Verdict.WAIT),
        (None, False, True, True, Verdict.FAIL),
        (None, True, True, False, Verdict.CANCEL),
    ],
)
def test_the_verdict(given: Control | None, stopped: bool, live: bool, absent: bool, verdict: Verdict) -> None:
    ruling = judge(given, stopped=stopped, live=live, now=NOW, absent=absent)
    assert ruling.verdict is verdict
    assert bool(ruling.reason) is (verdict in OUTCOME_OF)


def test_each_local_verdict_has_its_outcome() -> None:
    assert OUTCOME_OF == {
        Verdict.CANCEL: Outcome.CANCELLED,
        Verdict.EXPIRE: Outcome.EXPIRED,
        Verdict.FAIL: Outcome.FAILED,
    }
