"""What nobody answered in time is unknown; a late answer or a receipt settles it and withdraws its resend."""

import pytest

from broadcast.sending.answers.late import BY_RECEIPT
from broadcast.sending.answers.tokens import Token
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVDSTADR, RINVMSGLEN, RINVSRCADR, RMSGQFUL, RSYSERR
from broadcast.smpp.codec.message import Delivery
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.settlement import ACCOUNT, AT, TWICE, SettlementUnderTest, receipt


def test_a_retry_that_would_come_too_late_is_expired_as_the_next_attempt() -> None:
    given = SettlementUnderTest(expires_in=5_000)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    assert [(status.attempt, status.outcome, status.segment) for status in given.statuses()] == [
        (1, Outcome.REFUSED_FOR_NOW, 1),
        (2, Outcome.EXPIRED, 0),
    ]
    assert given.retries() == {}


@pytest.mark.parametrize(("lane", "resent"), [(Lane.IMMEDIATE, True), (Lane.PRIORITY, True), (Lane.ROUTINE, False)])
def test_what_is_unanswered_is_unknown_and_by_its_lane_sent_again_with_a_mark(lane: Lane, resent: bool) -> None:
    given = SettlementUnderTest(lane)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    [status] = given.statuses()
    assert (status.outcome, status.error, status.reason) == (Outcome.UNKNOWN, 0, "no answer")
    assert [(job.possible_duplicate, job.resends) for job in given.jobs()] == ([(True, 1)] if resent else [])
    assert [to.topic for to in given.retries()] == ([f"p.jobs.r.{lane.value}.delay.30s.v1"] if resent else [])


def test_a_resend_that_nothing_answers_is_not_sent_a_third_time() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, attempt=2, resends=1, possible_duplicate=True)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.UNKNOWN]
    assert given.jobs() == []


def test_a_late_acceptance_withdraws_the_resend_in_the_same_content() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle_many([(given.tokens[0][0], 0, b"", 1)], [b"late"], AT + 9)
    assert [(status.outcome, status.late) for status in given.statuses()] == [
        (Outcome.UNKNOWN, False),
        (Outcome.ACCEPTED, True),
    ]
    [(_, [resend, withdrawal])] = given.retries().items()
    assert (withdrawal.recipient_id, withdrawal.attempt, withdrawal.withdrawn) == (100, resend.attempt, True)
    assert withdrawal.msisdn == ""
    assert ("a" * 36, 100, 2) in given.settlement.unanswered.withdrawn


def test_a_late_acceptance_of_one_segment_of_two_withdraws_nothing() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    given.settlement.settle_many([(given.tokens[0][0], 0, b"", 1)], [b"one"], AT + 9)
    assert given.withdrawn() == []
    given.settlement.settle_many([(given.tokens[0][1], 0, b"", 1)], [b"two"], AT + 9)
    assert given.withdrawn() == [(100, 2)]


def test_a_late_acceptance_of_the_first_copy_withdraws_the_second_resend() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, route=TWICE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    [resend] = given.jobs()
    again: Token = (given.submission, resend, 50, None, 0)
    given.settlement.note_submitted(given.submission, [50], [again], 1)
    given.settlement.settle_unanswered([again], AT + 9)
    given.settlement.settle(given.tokens[0][0], 0, "late", AT + 10)
    assert given.withdrawn() == [(100, 3)]


def test_a_resend_that_was_written_is_not_withdrawn() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    [resend] = given.jobs()
    given.settlement.note_submitted(given.submission, [50], [(given.submission, resend, 50, None, 0)], 1)
    given.settlement.settle(given.tokens[0][0], 0, "late", AT + 10)
    assert given.withdrawn() == []


@pytest.mark.parametrize("status", [RINVDSTADR, RINVMSGLEN])
def test_a_late_refusal_for_good_settles_the_submit_and_withdraws_its_resend(status: int) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], status, "", AT + 10)
    assert given.withdrawn() == [(100, 2)]
    assert [(each.outcome, each.late) for each in given.statuses()] == [
        (Outcome.UNKNOWN, False),
        (Outcome.REFUSED, True),
    ]


@pytest.mark.parametrize("status", [RSYSERR, RMSGQFUL, RINVSRCADR, RINVBNDSTS])
def test_a_late_refusal_for_now_or_of_the_account_leaves_the_next_attempt_as_it_is(status: int) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], status, "", AT + 10)
    assert given.withdrawn() == []
    assert [each.outcome for each in given.statuses()] == [Outcome.UNKNOWN, Outcome.REFUSED_FOR_NOW]
    assert [each.attempt for each in given.jobs()] == [2]


@pytest.mark.parametrize("in_time", [False, True])
def test_a_late_refusal_of_one_segment_of_two_withdraws_the_resend_when_the_other_has_its_answer(
    in_time: bool,
) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    one, two = given.tokens[0]
    if in_time:
        given.settlement.settle(one, RINVDSTADR, "", AT)
        given.settlement.settle_unanswered([two], AT)
    else:
        given.settlement.settle_unanswered([one, two], AT)
        given.settlement.settle(one, RINVDSTADR, "", AT + 9)
    assert given.withdrawn() == []
    given.settlement.settle_many([(two, 0, b"", 1)], [b"two"], AT + 9)
    assert given.withdrawn() == [(100, 2)]


@pytest.mark.parametrize(
    ("delivery", "arrived", "settled"),
    [
        (receipt("r1", "447700900100", "260101120000", "260101120003"), 4, True),
        (receipt("r1", "+447700900100", "2601011200", "2601011200"), 4, False),
        (receipt("r1", "+447700900100", "260101174502", "260101174505"), 4, True),
        (receipt("r1", "447700900100", "260101115944", "260101115946"), 4, False),
        (receipt("r1", "447700900100", "260101120000", "260101120003"), 400, False),
        (receipt("r1", "447700900100", "260101120000", "260101130003"), 4, False),
        (receipt("r1", "447700900100", "260101120000", "260101120003", "UNDELIV"), 4, False),
        (receipt("r1", "447700900100", "", ""), 4, False),
        (receipt("r1", "447700900199", "260101120000", "260101120003"), 4, False),
    ],
    ids=[
        "seconds",
        "minutes",
        "another zone",
        "held back",
        "too late",
        "too early",
        "failed",
        "no dates",
        "another number",
    ],
)
def test_a_receipt_that_can_only_be_of_an_unanswered_submit_settles_it_and_withdraws_its_resend(
    delivery: Delivery, arrived: int, settled: bool
) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + arrived * 1000)
    late = [(status.outcome, status.message_id, status.submitted_at) for status in given.statuses() if status.late]
    assert late == ([(Outcome.ACCEPTED, "r1", AT)] if settled else [])
    assert given.withdrawn() == ([(100, 2)] if settled else [])
    if settled:
        given.settlement.settle(given.tokens[0][0], 0, "r1", AT + 9_000)
        assert len(given.statuses()) == 2, "its answer says nothing new"


def test_a_receipt_of_an_answered_submit_to_the_same_number_settles_no_other() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    other: Token = (given.submission, Job("b" * 36, 9, "+447700900100"), 50, None, 0)
    given.settlement.note_submitted(given.submission, [50], [other], 1)
    given.settlement.settle_many([(other, 0, b"", 1)], [b"r1"], AT)
    delivery = receipt("r1", "447700900100", "260101120000", "260101120003")
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    assert given.withdrawn() == []


def test_segments_are_settled_by_as_many_receipts() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    for message_id in ("r1", "r1", "r2"):
        assert given.withdrawn() == []
        delivery = receipt(message_id, "447700900100", "260101120000", "260101120003")
        given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    assert given.withdrawn() == [(100, 2)]
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "r1"), (2, "r2")]


def test_an_acceptance_that_comes_late_is_one_more_fact_and_no_second_outcome() -> None:
    given = SettlementUnderTest()
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle_many([(given.tokens[0][0], 0, b"", 1)], [b"late"], AT + 9)
    given.settlement.settle(given.tokens[0][0], UNANSWERED, "", AT + 10)
    assert [(status.outcome, status.message_id) for status in given.statuses()] == [
        (Outcome.UNKNOWN, ""),
        (Outcome.ACCEPTED, "late"),
    ]
    assert given.outbox.content.submits == 1
    assert given.retries() == {}


def test_a_refusal_that_comes_late_is_the_outcome_of_that_submit() -> None:
    given = SettlementUnderTest()
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle_many([(given.tokens[0][0], RINVDSTADR, b"", 1)], [b""], AT + 9)
    unknown, refused = given.statuses()
    assert (refused.outcome, refused.error, refused.reason) == (
        Outcome.REFUSED,
        RINVDSTADR,
        "ESME_RINVDSTADR: the number is not valid",
    )
    assert (unknown.attempt, unknown.submitted_at) == (refused.attempt, refused.submitted_at)
    assert given.retries() == {}


@pytest.mark.parametrize(("lane", "marked"), [(Lane.IMMEDIATE, [True]), (Lane.ROUTINE, [False])])
def test_refused_for_now_that_comes_late_is_tried_again_once(lane: Lane, marked: list[bool]) -> None:
    given = SettlementUnderTest(lane)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT + 9)
    assert [status.outcome for status in given.statuses()] == [Outcome.UNKNOWN, Outcome.REFUSED_FOR_NOW]
    jobs = [job for found in given.retries().values() for job in found]
    assert [job.possible_duplicate for job in jobs] == marked, "held jobs are sent now, without a mark"


@pytest.mark.parametrize("lane", [Lane.IMMEDIATE, Lane.ROUTINE])
def test_refused_for_now_that_comes_too_late_for_a_retry_is_expired(lane: Lane) -> None:
    given = SettlementUnderTest(lane, expires_in=5_000)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT + 9)
    assert [(status.attempt, status.outcome) for status in given.statuses()] == [
        (1, Outcome.UNKNOWN),
        (1, Outcome.REFUSED_FOR_NOW),
        (2, Outcome.EXPIRED),
    ]
    assert given.retries() == {}


def test_a_segment_whose_answer_comes_late_is_not_counted_for_another() -> None:
    given = SettlementUnderTest(segments=2)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], 0, "one", AT)
    assert not given.statuses(), "the second is not answered yet"
    given.settlement.settle(given.tokens[0][1], 0, "two", AT)
    assert [(status.outcome, status.message_id) for status in given.statuses()] == [
        (Outcome.ACCEPTED, "one"),
        (Outcome.ACCEPTED, "two"),
    ]


def test_late_answers_to_all_segments_of_what_is_not_resent_are_written_each_for_its_own_segment() -> None:
    given = SettlementUnderTest(Lane.ROUTINE, segments=3)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    given.settlement.settle(given.tokens[0][2], RSYSERR, "c", AT + 1_000)
    assert not [status for status in given.statuses() if status.late], "a new copy would send the others again"
    given.settlement.settle(given.tokens[0][1], 0, "b", AT + 2_000)
    given.settlement.settle(given.tokens[0][0], RINVDSTADR, "", AT + 3_000)
    assert [(s.segment, s.outcome, s.message_id) for s in given.statuses() if s.late] == [
        (2, Outcome.ACCEPTED, "b"),
        (1, Outcome.REFUSED, ""),
        (3, Outcome.REFUSED_FOR_NOW, "c"),
    ]
    assert [(job.attempt, job.segments) for job in given.jobs()] == [(2, (3,))]


def test_only_the_segment_that_a_receipt_is_of_is_said_to_be_known_by_it() -> None:
    given = SettlementUnderTest(Lane.ROUTINE, segments=2)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "a", AT + 1_000)
    delivery = receipt("r2", "447700900100", "260101120000", "260101120003")
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    late = [status for status in given.statuses() if status.late]
    assert [(s.segment, s.outcome, s.message_id) for s in late] == [
        (1, Outcome.REFUSED_FOR_NOW, "a"),
        (2, Outcome.ACCEPTED, "r2"),
    ]
    assert [BY_RECEIPT in status.reason for status in late] == [False, True]


def test_an_answer_after_the_receipt_of_the_same_segment_changes_nothing() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    delivery = receipt("r1", "447700900100", "260101120000", "260101120003")
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT + 5_000)
    given.settlement.settle(given.tokens[0][1], 0, "b", AT + 6_000)
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "r1"), (2, "b")]
    assert given.withdrawn() == [(100, 2)]


def test_the_receipt_of_a_late_refusal_for_now_settles_the_submit_by_its_id() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "a", AT + 1_000)
    assert given.withdrawn() == []
    # Its dates say nothing: only the id does.
    delivery = receipt("a", "447700900100", "2601011200", "2601011200")
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    assert [(s.outcome, s.message_id) for s in given.statuses() if s.late] == [
        (Outcome.REFUSED_FOR_NOW, "a"),
        (Outcome.ACCEPTED, "a"),
    ]
    assert given.withdrawn() == [(100, 2)]
