"""Answers become statuses and retries."""

import pytest
from aiokafka import TopicPartition

from broadcast.clock import monotonic
from broadcast.pii import number_hash, number_hasher
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.contents import content_of
from broadcast.smpp.codec.command_status import RINVDSTADR, RINVSRCADR, RSYSERR, RTHROTTLED, explain_status
from schemas.job import HIGHEST_ATTEMPT
from schemas.lane import Lane
from schemas.status import Outcome, Status
from tests.support.settlement import ACCOUNT, AT, KEY, ROUTE, TWO_ACCOUNTS, SettlementUnderTest


def test_acceptances_that_come_together_are_statuses_in_one_go() -> None:
    given = SettlementUnderTest(jobs=3)
    given.settlement.settle_many([(t[0], 0, b"raw", 1) for t in given.tokens], [b"id1", b"id2", b"id3"], AT + 40)
    assert [status.message_id for status in given.statuses()] == ["id1", "id2", "id3"]
    assert given.statuses()[0] == Status(
        "a" * 36, 100, 1, Outcome.ACCEPTED, 1, 1, "acc", "id1", number_hash(KEY, b"447700900100"), 0, "", AT, AT + 40
    )
    assert given.outbox.content.submits == 3
    assert given.outbox.content.outcomes == {(Lane.ROUTINE, Outcome.ACCEPTED): 3}
    assert given.outbox.content.handovers == {Lane.ROUTINE: [0.54] * 3}
    assert not given.progress.pending


def test_many_and_one_by_one_say_the_same() -> None:
    answers = [(0, b"a"), (RINVDSTADR, b""), (0, b"b")]
    many, single = SettlementUnderTest(jobs=3), SettlementUnderTest(jobs=3)
    many.settlement.settle_many(
        [(t[0], status, b"", 1) for t, (status, _) in zip(many.tokens, answers, strict=True)],
        [message_id for _, message_id in answers],
        AT,
    )
    for tokens, (status, message_id) in zip(single.tokens, answers, strict=True):
        single.settlement.settle(tokens[0], status, message_id.decode(), AT)
    assert many.statuses() == single.statuses()
    assert many.outbox.content.submits == single.outbox.content.submits == 3
    assert many.outbox.content.outcomes == single.outbox.content.outcomes


def test_parts_say_whether_one_receipt_of_the_account_speaks_for_all() -> None:
    for covers in ("part", "message"):
        for segments in (1, 2):
            route = ROUTE.model_copy(update={"accounts": (ACCOUNT.model_copy(update={"receipt_covers": covers}),)})
            given = SettlementUnderTest(segments=segments, route=route)
            given.settlement.settle_many([(token, 0, b"", 1) for token in given.tokens[0]], [b"1", b"2"][:segments], AT)
            flags = [status.receipt_covers_message for status in given.statuses()]
            assert flags == [covers == "message" and segments == 2] * segments


def test_refused_for_now_is_a_status_and_a_delayed_job_in_the_same_content() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    [status] = given.statuses()
    assert (status.outcome, status.error) == (Outcome.REFUSED_FOR_NOW, RSYSERR)
    assert status.reason == "ESME_RSYSERR: the SMSC has a system error"
    [(to, [job])] = given.retries().items()
    assert to == TopicPartition("p.jobs.r.routine.delay.5s.v1", 3), "the same lane and number"
    assert (job.attempt, job.segments, job.possible_duplicate) == (2, (), False)
    assert AT + 5_000 <= job.due_at <= AT + 6_000


def test_a_throttled_pdu_is_requeued_without_using_up_its_delivery_retries() -> None:
    given = SettlementUnderTest(jobs=2)
    given.settlement.settle_many(
        [(given.tokens[0][0], RTHROTTLED, b"", 1), (given.tokens[1][0], 0, b"", 2)], [b"", b"x"], AT
    )
    assert [(status.recipient_id, status.outcome) for status in given.statuses()] == [(101, Outcome.ACCEPTED)]
    assert given.retries() == {}
    assert list(given.progress.pending) == [0], "it still lacks an outcome"
    throttled = given.settlement.throttled.of("session")
    assert throttled is not None
    assert list(throttled) == [(given.tokens[0][0], RTHROTTLED)]
    assert given.settlement.in_doubt_of("session") == 2, "until it has an outcome"


def test_a_throttled_pdu_whose_session_ends_is_a_retry() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RTHROTTLED, "", AT)
    given.settlement.retry_throttled(AT, "another")
    assert given.statuses() == []
    given.settlement.retry_throttled(AT, "session")
    assert [status.outcome for status in given.statuses()] == [Outcome.REFUSED_FOR_NOW]
    [job] = given.jobs()
    assert (job.attempt, job.possible_duplicate) == (2, False)
    assert not given.progress.pending
    assert given.settlement.throttled.of("session") is None


@pytest.mark.parametrize("command_status", [0x400, 0x411, 0x4FF, 0x9, 0xFFFFFFFF])
def test_the_raw_number_of_a_vendor_status_is_in_the_status_record(command_status: int) -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], command_status, "", AT)
    assert [(status.outcome, status.error) for status in given.statuses()] == [
        (Outcome.REFUSED_FOR_NOW, command_status)
    ]
    assert len(given.jobs()) == 1


def test_the_reason_of_a_status_is_what_the_account_means_by_it() -> None:
    own = ACCOUNT.model_copy(update={"command_status": {0x401: "of_message"}})
    given = SettlementUnderTest(route=ROUTE.model_copy(update={"accounts": (own,)}))
    given.settlement.settle(given.tokens[0][0], 0x401, "", AT)
    [status] = given.statuses()
    assert status.outcome is Outcome.REFUSED
    assert status.reason == explain_status(0x401, {0x401: "of_message"}) != explain_status(0x401)


def test_an_account_says_how_long_to_wait_after_an_error_of_its_own() -> None:
    account = ACCOUNT.model_copy(update={"pause_seconds": {0x401: 6}})
    given = SettlementUnderTest(jobs=2, route=ROUTE.model_copy(update={"accounts": (account,)}))
    for tokens, status in zip(given.tokens, (0x401, 0x402), strict=True):
        given.settlement.settle(tokens[0], status, "", AT)
    pauses = {to.topic: [job.recipient_id for job in jobs] for to, jobs in given.retries().items()}
    assert pauses == {"p.jobs.r.routine.delay.30s.v1": [100], "p.jobs.r.routine.delay.5s.v1": [101]}


@pytest.mark.parametrize(("later", "tried_again"), [(0, False), (1, True)])
def test_what_is_due_when_the_alert_expires_is_not_tried_again(later: int, tried_again: bool) -> None:
    first = SettlementUnderTest()
    first.settlement._writer._random.seed(1)
    first.settlement.settle(first.tokens[0][0], RSYSERR, "", AT)
    [due] = [job.due_at for job in first.jobs()]
    given = SettlementUnderTest(expires_in=due + later - AT)
    given.settlement._writer._random.seed(1)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    assert bool(given.jobs()) is tried_again
    assert (Outcome.EXPIRED in [status.outcome for status in given.statuses()]) is not tried_again


def test_the_last_attempt_that_a_job_may_have_says_so() -> None:
    given = SettlementUnderTest(attempt=HIGHEST_ATTEMPT - 1)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    assert given.jobs() == []
    [expired] = [status for status in given.statuses() if status.outcome is Outcome.EXPIRED]
    assert expired.reason == f"it was tried {HIGHEST_ATTEMPT - 1:,} times"


def test_refused_for_good_is_not_tried_again() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RINVDSTADR, "", AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.REFUSED]
    assert given.retries() == {}


def test_what_an_account_refuses_goes_to_another_account_as_a_whole_copy() -> None:
    given = SettlementUnderTest(segments=2, route=TWO_ACCOUNTS)
    given.settlement.settle(given.tokens[0][0], 0, "one", AT)
    given.settlement.settle(given.tokens[0][1], RINVSRCADR, "", AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.ACCEPTED, Outcome.REFUSED_FOR_NOW]
    [job] = given.jobs()
    assert (job.refused_by, job.segments, job.possible_duplicate) == (("acc",), (), True)


@pytest.mark.parametrize("refused_by", [(), ("other",)])
@pytest.mark.parametrize("accepted", [False, True])
def test_what_all_accounts_refuse_is_final_only_if_one_of_them_takes_other_messages(
    refused_by: tuple[str, ...], accepted: bool
) -> None:
    given = SettlementUnderTest(route=TWO_ACCOUNTS if refused_by else ROUTE, refused_by=refused_by)
    breaker = Breaker(10)
    refusals = breaker.contents
    given.settlement.follow_refusals("acc", breaker)
    refusals.note([content_of(given.tokens[0][0][1])], (), monotonic(), other_faults=False)
    if accepted:
        refusals.note((), [("b" * 36, 0, "")], monotonic(), other_faults=False)
    given.settlement.settle(given.tokens[0][0], RINVSRCADR, "", AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.REFUSED if accepted else Outcome.REFUSED_FOR_NOW]
    assert [(job.attempt, job.refused_by) for job in given.jobs()] == ([] if accepted else [(2, ())])


@pytest.mark.parametrize("accepted", [False, True])
def test_what_may_be_the_fault_of_the_only_account_that_works_waits_for_no_other(accepted: bool) -> None:
    given = SettlementUnderTest(route=TWO_ACCOUNTS)
    breaker = Breaker(10)
    breaker.only_account = True
    given.settlement.follow_refusals("acc", breaker)
    breaker.contents.note([content_of(given.tokens[0][0][1])], (), monotonic(), other_faults=False)
    if accepted:
        breaker.contents.note((), [("b" * 36, 0, "")], monotonic(), other_faults=False)
    given.settlement.settle(given.tokens[0][0], RINVSRCADR, "", AT)
    [job] = given.jobs()
    assert job.refused_by == (("acc",) if accepted else ()), "only a message that is to blame waits for the other"


@pytest.mark.parametrize("msisdn", [b"+447700900123", b"447700900123"])
@pytest.mark.parametrize("key", [b"", b"key", b"k" * 64])
def test_the_hasher_is_the_hash(key: bytes, msisdn: bytes) -> None:
    assert number_hasher(key)(msisdn) == number_hash(key, msisdn)
