"""Which jobs may be submitted, what an answer means, and when it is tried again."""

import pytest

from broadcast.sending.rules import (
    OUTCOME_OF,
    UNANSWERED,
    Eligibility,
    assess,
    choose_delay,
    meaning_of_answer,
    outcome_of,
    reason_of,
    retry_job,
    wants_retry,
)
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVDSTADR, RMSGQFUL, ROK, RSYSERR, RTHROTTLED
from schemas.control import Control
from schemas.job import Job
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


def test_what_is_not_submitted_has_an_outcome() -> None:
    assert OUTCOME_OF == {
        Eligibility.CANCEL: Outcome.CANCELLED,
        Eligibility.EXPIRE: Outcome.EXPIRED,
        Eligibility.FAIL: Outcome.FAILED,
    }


DELAYS = (5, 30, 120)


@pytest.mark.parametrize(
    ("command_status", "outcome", "reason"),
    [
        (ROK, Outcome.ACCEPTED, ""),
        (RINVDSTADR, Outcome.REFUSED, "ESME_RINVDSTADR: the number is not valid"),
        (RTHROTTLED, Outcome.REFUSED_FOR_NOW, "ESME_RTHROTTLED: the rate of submits is too high"),
        (RINVBNDSTS, Outcome.REFUSED_FOR_NOW, "ESME_RINVBNDSTS: the session is not bound for submits"),
        (0x400, Outcome.REFUSED_FOR_NOW, "0x00000400: an error of this SMSC's own"),
        (UNANSWERED, Outcome.UNKNOWN, "no answer"),
    ],
)
def test_the_outcome_of_an_answer(command_status: int, outcome: Outcome, reason: str) -> None:
    assert outcome_of(meaning_of_answer(command_status, {})) is outcome
    assert reason_of(command_status, {}) == reason


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_refused_for_now_and_unknown_by_policy_are_tried_again(outcome: Outcome) -> None:
    assert wants_retry(outcome, "hold") is (outcome is Outcome.REFUSED_FOR_NOW)
    assert wants_retry(outcome, "resend") is (outcome in {Outcome.REFUSED_FOR_NOW, Outcome.UNKNOWN})


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5), (2, 30), (3, 120), (4, 120), (99, 120)])
def test_delays_grow_with_the_attempts(attempt: int, delay: int) -> None:
    assert choose_delay(DELAYS, attempt, [RSYSERR]) == delay
    assert choose_delay(DELAYS, attempt, [RSYSERR, RTHROTTLED]) == delay


@pytest.mark.parametrize("status", [RTHROTTLED, RMSGQFUL, UNANSWERED])
def test_being_too_fast_or_unanswered_keeps_the_first_delay(status: int) -> None:
    assert choose_delay(DELAYS, 7, [status]) == 5


def test_the_next_attempt_carries_everything_on() -> None:
    job = Job("a", 7, "+447700900123", 1, 2, "own", (1, 2), 5, False)
    assert retry_job(job, (2,), unknown=False, due_at=9) == Job("a", 7, "+447700900123", 1, 3, "own", (2,), 9, False)
    assert retry_job(job, (2,), unknown=True, due_at=9).possible_duplicate
    marked = Job("a", 7, "+447700900123", possible_duplicate=True)
    assert retry_job(marked, (), unknown=False, due_at=9).possible_duplicate, "a mark travels on"
