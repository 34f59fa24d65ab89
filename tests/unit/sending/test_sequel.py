"""What an answer means, what follows it, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.answers.sequel import (
    Sequel,
    choose_pause,
    decide,
    meaning_of_answer,
    next_job,
    outcome_of,
    reason_of,
    send_whole,
    withdrawal_of,
)
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import (
    MEANINGS,
    RINVBNDSTS,
    RINVDSTADR,
    RINVSRCADR,
    RMSGQFUL,
    ROK,
    RSYSERR,
    RTHROTTLED,
    Follow,
    Meaning,
    OutcomeClass,
)
from schemas.job import Job
from schemas.status import Outcome

DELAYS = (5, 30, 120)
ANSWERS = st.sampled_from([*MEANINGS, 0x401, 0x12345, UNANSWERED])


def job(**fields: object) -> Job:
    return Job("a", 7, "+447700900123", **fields)  # type: ignore[arg-type]


def meanings(*answers: int) -> list[tuple[int, Meaning]]:
    return [(number, meaning_of_answer(answer, {})) for number, answer in enumerate(answers, 1)]


def sequel(
    *answers: int, given: Job | None = None, limit: int = 1, elsewhere: bool = False, blamed: bool = False
) -> Sequel:
    found = meanings(*answers)
    return decide(given or job(), found, total=len(answers), resend_limit=limit, elsewhere=elsewhere, blamed=blamed)


@pytest.mark.parametrize(
    ("command_status", "outcome", "reason"),
    [
        (ROK, Outcome.ACCEPTED, ""),
        (RINVDSTADR, Outcome.REFUSED, "ESME_RINVDSTADR: the number is not valid"),
        (RINVSRCADR, Outcome.REFUSED_FOR_NOW, "ESME_RINVSRCADR: the sender's address is not valid"),
        (RTHROTTLED, Outcome.REFUSED_FOR_NOW, "ESME_RTHROTTLED: the rate of submits is too high"),
        (RINVBNDSTS, Outcome.REFUSED_FOR_NOW, "ESME_RINVBNDSTS: the session is not bound for submits"),
        (0x400, Outcome.REFUSED_FOR_NOW, "0x00000400: an error of this SMSC's own"),
        (UNANSWERED, Outcome.UNKNOWN, "no answer"),
    ],
)
def test_the_outcome_of_an_answer(command_status: int, outcome: Outcome, reason: str) -> None:
    assert outcome_of(meaning_of_answer(command_status, {}), sequel(command_status)) is outcome
    assert reason_of(command_status, {}) == reason


def test_what_an_account_refuses_goes_once_to_another_account_and_waits_without_one() -> None:
    again = Sequel(Follow.NEXT_ATTEMPT, by_any=True)
    assert sequel(RINVSRCADR, elsewhere=True) == Sequel(Follow.OTHER_ACCOUNT)
    assert sequel(RINVSRCADR, elsewhere=False) == again
    assert sequel(RINVSRCADR, elsewhere=True, given=job(refused_by=("b",))) == again, "once"
    following = next_job(job(), Sequel(Follow.OTHER_ACCOUNT), account="a", session="s", due_at=9)
    assert following.refused_by == ("a",)
    following = next_job(job(refused_by=("b",)), again, account="a", session="s", due_at=9)
    assert following.refused_by == (), "whichever works again first may take it"


def test_what_accounts_refuse_is_final_only_if_the_message_is_to_blame() -> None:
    for given_job in (job(), job(refused_by=("b",))):
        found = sequel(RINVSRCADR, given=given_job, blamed=True)
        assert found == Sequel(blamed=True)
        assert outcome_of(meaning_of_answer(RINVSRCADR, {}), found) is Outcome.REFUSED
    assert sequel(RINVSRCADR, elsewhere=True, blamed=True).follow is Follow.OTHER_ACCOUNT, "another may take it"
    assert sequel(RSYSERR, RINVSRCADR, blamed=True).segments == (1,)
    assert sequel(ROK, RINVSRCADR).segments == (2,), "a copy travels whole: by its session"


@pytest.mark.parametrize(("resends", "limit", "follow"), [(0, 0, "nothing"), (0, 1, "resend"), (1, 1, "nothing")])
def test_what_nothing_answered_is_resent_at_most_so_often(resends: int, limit: int, follow: str) -> None:
    found = sequel(UNANSWERED, given=job(resends=resends), limit=limit)
    assert (found.follow, found.held) == (follow, follow == "nothing")


def test_a_refused_segment_is_tried_again_on_its_session_only_and_everything_as_a_new_copy() -> None:
    assert sequel(ROK, RSYSERR, ROK) == Sequel(Follow.NEXT_ATTEMPT, (2,))
    assert sequel(RSYSERR, RSYSERR) == Sequel(Follow.NEXT_ATTEMPT, ())
    assert sequel(ROK, UNANSWERED, RSYSERR) == Sequel(Follow.RESEND, (), doubles=True)
    assert sequel(ROK, RINVSRCADR, elsewhere=True) == Sequel(Follow.OTHER_ACCOUNT, (), doubles=True)
    partial = next_job(job(), Sequel(Follow.NEXT_ATTEMPT, (2,)), account="a", session="s", due_at=9)
    assert (partial.segments, partial.session, partial.possible_duplicate) == ((2,), "s", False)
    send_whole(partial)
    assert (partial.segments, partial.session, partial.possible_duplicate) == ((), "", True)


@given(
    st.lists(ANSWERS, min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_every_answer_has_a_sequel_within_its_bounds(
    answers: list[int], resends: int, limit: int, elsewhere: bool, refused: bool, blamed: bool
) -> None:
    before = job(resends=resends, refused_by=("b",) if refused else ())
    found = sequel(*answers, given=before, limit=limit, elsewhere=elsewhere, blamed=blamed)
    after = next_job(before, found, account="a", session="s", due_at=1)
    assert after.resends <= max(limit, resends)
    assert len(after.refused_by) <= 1
    assert (after.resends > before.resends) is (found.follow is Follow.RESEND)
    assert bool(after.session) is bool(after.segments), "only a copy that is not whole belongs to a session"
    outcomes = [outcome_of(meaning, found) for _, meaning in meanings(*answers)]
    if Outcome.UNKNOWN in outcomes:
        assert found.held or after.possible_duplicate
    if found.follow is Follow.NOTHING and not found.held:
        assert set(outcomes) <= {Outcome.ACCEPTED, Outcome.REFUSED}, "what is not final is tried again"
    of_account = [
        outcome
        for (_, each), outcome in zip(meanings(*answers), outcomes, strict=True)
        if each.outcome_class is OutcomeClass.OF_ACCOUNT
    ]
    assert blamed or Outcome.REFUSED not in of_account, "nobody is rejected because of an account"
    if len(answers) > 1 and after.segments:
        assert {outcomes[number - 1] for number in after.segments} == {Outcome.REFUSED_FOR_NOW}


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5), (2, 30), (3, 120), (4, 120), (99, 120)])
@pytest.mark.parametrize("status", [RSYSERR, RMSGQFUL, RINVSRCADR])
def test_what_concerns_a_number_the_smsc_or_the_only_account_waits_longer_with_each_attempt(
    status: int, attempt: int, delay: int
) -> None:
    given_job = job(attempt=attempt)
    [(_, meaning)] = meanings(status)
    assert choose_pause(DELAYS, given_job, sequel(status, given=given_job), [meaning]) == delay


@pytest.mark.parametrize(("resends", "delay"), [(0, 30), (1, 120), (2, 120)])
def test_a_resend_never_takes_the_shortest_pause_and_each_waits_longer(resends: int, delay: int) -> None:
    given_job = job(resends=resends, attempt=resends + 1)
    [(_, meaning)] = meanings(UNANSWERED)
    assert choose_pause(DELAYS, given_job, sequel(UNANSWERED, given=given_job, limit=9), [meaning]) == delay
    assert choose_pause((5,), given_job, sequel(UNANSWERED, given=given_job, limit=9), [meaning]) == 5


def test_another_account_needs_only_the_shortest_pause() -> None:
    [(_, meaning)] = meanings(RINVSRCADR)
    given_job = job(attempt=7)
    assert choose_pause(DELAYS, given_job, sequel(RINVSRCADR, given=given_job, elsewhere=True), [meaning]) == 5


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5), (2, 5), (3, 30), (4, 120), (9, 120)])
def test_what_an_smsc_always_throttles_waits_longer_each_time(attempt: int, delay: int) -> None:
    [(_, meaning)] = meanings(RTHROTTLED)
    given_job = job(attempt=attempt)
    assert choose_pause(DELAYS, given_job, sequel(RTHROTTLED, given=given_job), [meaning]) == delay


def test_a_job_with_one_part_that_was_submitted_too_fast_waits_for_its_other_part() -> None:
    given_job = job(attempt=2)
    found = [meaning for _, meaning in meanings(RTHROTTLED, RSYSERR)]
    assert choose_pause(DELAYS, given_job, sequel(RTHROTTLED, RSYSERR, given=given_job), found) == 30


@given(st.sampled_from([RSYSERR, RMSGQFUL, RTHROTTLED, UNANSWERED]), st.integers(1, 9), st.integers(0, 120))
def test_the_pause_is_at_least_what_the_account_asks_for_after_an_answer(status: int, attempt: int, least: int) -> None:
    given_job, found = job(attempt=attempt), [meaning_of_answer(status, {})]
    follows = sequel(status, given=given_job)
    usual = choose_pause(DELAYS, given_job, follows, found)
    pause = choose_pause(DELAYS, given_job, follows, found, least=least)
    assert pause == min(each for each in DELAYS if each >= max(least, usual))
    other = sequel(RINVSRCADR, given=given_job, elsewhere=True)
    assert choose_pause(DELAYS, given_job, other, [meaning_of_answer(RINVSRCADR, {})], least=least) == 5


def test_the_next_attempt_carries_everything_on() -> None:
    given_job = Job("a", 7, "+447700900123", 1, 2, "own", (1, 2), 5, False, 1, 2, ("b",))
    found = next_job(given_job, Sequel(Follow.NEXT_ATTEMPT, (2,)), account="a", session="s", due_at=9)
    assert found == Job("a", 7, "+447700900123", 1, 3, "own", (2,), 9, False, 1, 2, ("b",), "s")
    assert next_job(given_job, Sequel(Follow.RESEND, doubles=True), account="a", session="s", due_at=9).resends == 2
    silent = job(unanswered_by=("a",))
    for account, by in (("a", ("a",)), ("b", ("a", "b"))):
        following = next_job(silent, Sequel(Follow.RESEND, doubles=True), account=account, session="s", due_at=9)
        assert following.unanswered_by == by
    following = next_job(silent, Sequel(Follow.NEXT_ATTEMPT), account="b", session="s", due_at=9)
    assert following.unanswered_by == ("a",)
    marked = job(possible_duplicate=True)
    following = next_job(marked, Sequel(Follow.NEXT_ATTEMPT), account="a", session="s", due_at=9)
    assert following.possible_duplicate, "a mark travels on"


def test_a_withdrawal_names_its_job_and_no_number() -> None:
    found = withdrawal_of(job(attempt=3, text="own"))
    assert found == Job("a", 7, "", attempt=3, withdrawn=True)


def test_an_unanswered_segment_is_unknown_whatever_the_others_are() -> None:
    assert meaning_of_answer(UNANSWERED, {}).outcome_class is OutcomeClass.UNKNOWN
