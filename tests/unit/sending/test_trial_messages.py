"""A test message for one account: that one takes it, nobody else waits for it, and its answer is the outcome."""

import msgspec
import pytest

from broadcast.clock import monotonic
from broadcast.sending.accounts.health.breaker import LEAST_ANSWERS
from broadcast.sending.dispatching.assessing import AIMED_LIMIT
from broadcast.smpp.codec.command_status import RINVSRCADR, RSYSERR
from schemas.job import Job
from schemas.status import Outcome
from tests.support.dispatch import ALERT, BoundSession, SenderUnderTest, job, number_of

TRIAL = "t" * 36


def trial_sender(account: str = "two") -> tuple[SenderUnderTest, BoundSession, BoundSession]:
    sender = SenderUnderTest("one", "two")
    control = sender.view.controls[ALERT]
    sender.view.controls[TRIAL] = msgspec.structs.replace(control, alert_id=TRIAL, trial=True, account=account)
    return sender, sender.bind("one"), sender.bind("two")


def trial(number: int, **fields: int) -> Job:
    made = job(number, **fields)
    made.alert_id = TRIAL
    return made


@pytest.mark.parametrize("delayed", [False, True])
async def test_a_test_message_for_one_account_goes_by_that_one_and_holds_up_nobody(delayed: bool) -> None:
    sender, one, two = trial_sender()
    two.session.pause_writing()
    attempt = 1 + delayed
    others = [job(number, attempt=attempt) for number in range(10, 40)]
    sender.feed(sender.delayed if delayed else sender.jobs, [trial(1, attempt=attempt), *others])
    for _ in range(3):
        sender.write_ready()
        sender.beat()
    assert one.take() == [number_of(number) for number in range(10, 40)]
    two.session.resume_writing()
    sender.write_ready()
    assert two.take() == [number_of(1)]
    two.answer(0)
    assert (1, Outcome.ACCEPTED) in sender.outcomes()


async def test_a_test_message_waits_for_its_account_while_that_is_stopped_and_is_its_probe() -> None:
    sender, one, two = trial_sender()
    breaker = two.binds.breaker
    breaker.note_answers(LEAST_ANSWERS, LEAST_ANSWERS, map(str, range(20)), "ESME_RINVSRCADR", monotonic())
    sender.feed(sender.jobs, [trial(1)])
    for _ in range(3):
        sender.write_ready()
        sender.dispatch.settle_unsent()
    assert (one.take(), two.take(), sender.outcomes()) == ([], [], [])
    breaker.tick(breaker.next_probe_at)
    sender.write_ready()
    assert two.take() == [number_of(1)]


@pytest.mark.parametrize(
    ("answer", "outcome", "again"),
    [(RINVSRCADR, Outcome.REFUSED, False), (RSYSERR, Outcome.REFUSED_FOR_NOW, True), (None, Outcome.UNKNOWN, False)],
)
async def test_what_one_account_refuses_or_leaves_unanswered_goes_by_no_other(
    answer: int | None, outcome: Outcome, again: bool
) -> None:
    sender, one, two = trial_sender()
    sender.feed(sender.jobs, [trial(1)])
    sender.write_ready()
    two.take()
    if answer is None:
        await two.end()
    else:
        two.answer(answer)
    assert sender.outcomes() == [(1, outcome)]
    retries = sender.retries()
    assert len(retries) == again
    sender.beat()
    for each in retries:
        each.due_at = 0
        sender.feed(sender.delayed, [each])
    sender.write_ready()
    assert (one.take(), two.take()) == ([], [number_of(1)] * again)


async def test_a_test_message_for_an_account_that_the_route_has_not_fails_with_those_that_it_has() -> None:
    sender, one, two = trial_sender("three")
    sender.feed(sender.jobs, [trial(1), job(2)])
    sender.write_ready()
    assert [*one.take(), *two.take()] == [number_of(2)]
    [status] = sender.statuses()
    assert status.outcome is Outcome.FAILED
    assert status.reason == "route r has no account three that sends; it has one, two"


async def test_more_test_messages_than_may_wait_for_one_account_fail_and_hold_up_nobody() -> None:
    sender, one, two = trial_sender()
    await two.end()
    for number in range(0, 3 * AIMED_LIMIT, AIMED_LIMIT):
        sender.feed(sender.jobs, [trial(each) for each in range(number, number + AIMED_LIMIT)], first=number)
        sender.write_ready()
        sender.beat()
    sender.feed(sender.jobs, [job(9_999)], first=3 * AIMED_LIMIT)
    for _ in range(5):
        sender.write_ready()
        sender.beat()
    assert one.take() == [number_of(9_999)]
    failed = [status for status in sender.committed_statuses if status.outcome is Outcome.FAILED]
    assert {status.recipient_id for status in failed} == set(range(AIMED_LIMIT, 3 * AIMED_LIMIT))
    assert "test messages wait for account two" in failed[0].reason
