"""Answers become statuses and retries; a job of several segments has its outcome when all have."""

import itertools
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from broadcast.kafka.position import fresh_position
from broadcast.pii import number_hash, number_hasher
from broadcast.routing import Account, ResendUnanswered, Route
from broadcast.sending.answers.tokens import SegmentAnswers, Submission, Token
from broadcast.sending.messages import Message, MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.settlement import Settlement
from broadcast.smpp.codec.command_status import RINVDSTADR, RINVSRCADR, RSYSERR, RTHROTTLED
from broadcast.smpp.codec.message import Delivery
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names

AT = 1_000_000
ACCOUNT = Account(name="acc", host="h", port=1, system_id="s")
ROUTE = Route(name="r", prefixes=("+",), delays_seconds=(5, 30), accounts=(ACCOUNT,))
TWICE = ROUTE.model_copy(
    update={"accounts": (ACCOUNT.model_copy(update={"resend_unanswered": ResendUnanswered(immediate=2)}),)}
)
TWO_ACCOUNTS = ROUTE.model_copy(update={"accounts": (ACCOUNT, ACCOUNT.model_copy(update={"name": "other"}))})
KEY = b"key"


class SettlementUnderTest:
    """A settlement with jobs of one message, taken."""

    def __init__(
        self,
        lane: Lane = Lane.ROUTINE,
        *,
        segments: int = 1,
        expires_in: int = 3_600_000,
        jobs: int = 1,
        route: Route = ROUTE,
        **job_fields: Any,
    ):
        self.outbox = Outbox()
        self.settlement = Settlement(route, Names("p."), KEY, self.outbox)
        text = "x" * (152 * segments if segments > 1 else 10)
        control = Control("a" * 36, lane, "Actual", AT + expires_in, (Variant("en", text),))
        self.message: Message = MessageCache(6).find(control, 0, "", ())
        self.progress: Progress[Token] = Progress(fresh_position(0), "me")
        self.submission = Submission(self.message, self.progress, 3, route.accounts[0], "session", AT, AT - 500)
        self.tokens: list[list[Token]] = []
        for offset in range(jobs):
            answers = SegmentAnswers(segments) if segments > 1 else None
            job = Job("a" * 36, 100 + offset, f"+4477009001{offset:02d}", **job_fields)
            self.tokens.append([(self.submission, job, offset, answers, part) for part in range(segments)])
        first = [tokens[0] for tokens in self.tokens]
        self.settlement.note_submitted(self.submission, list(range(jobs)), first, jobs * segments)

    def statuses(self) -> list[Status]:
        return [msgspec.json.decode(value, type=Status) for _, value in self.outbox.content.statuses]

    def retries(self) -> dict[TopicPartition, list[Job]]:
        return {
            to: [msgspec.json.decode(value, type=Job) for _, value in records]
            for to, records in self.outbox.content.retries.items()
        }

    def jobs(self) -> list[Job]:
        return [job for jobs in self.retries().values() for job in jobs if not job.withdrawn]

    def withdrawn(self) -> list[tuple[int, int]]:
        return [(job.recipient_id, job.attempt) for jobs in self.retries().values() for job in jobs if job.withdrawn]


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


def test_refused_for_good_is_not_tried_again() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RINVDSTADR, "", AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.REFUSED]
    assert given.retries() == {}


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


def test_a_late_refusal_withdraws_nothing() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.settle(given.tokens[0][0], RINVDSTADR, "", AT + 10)
    assert given.withdrawn() == []


def receipt(message_id: str, source: str, submitted: str, done: str, state: str = "DELIVRD") -> Delivery:
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:{submitted} done date:{done} stat:{state} err:000 text:"
    return Delivery(1, 0x04, source.encode(), b"TOCSIN", 0, text.encode(), b"")


@pytest.mark.parametrize(
    ("delivery", "arrived", "settled"),
    [
        (receipt("r1", "447700900100", "260101120000", "260101120003"), 4, True),
        (receipt("r1", "+447700900100", "2601011200", "2601011200"), 4, True),
        (receipt("r1", "447700900100", "260101120000", "260101120003"), 400, False),
        (receipt("r1", "447700900100", "260101120000", "260101130003"), 4, False),
        (receipt("r1", "447700900100", "260101120000", "260101120003", "UNDELIV"), 4, False),
        (receipt("r1", "447700900100", "", ""), 4, False),
        (receipt("r1", "447700900199", "260101120000", "260101120003"), 4, False),
    ],
    ids=["seconds", "minutes", "too late", "too early", "failed", "no dates", "another number"],
)
def test_a_receipt_that_can_only_be_of_an_unanswered_submit_settles_it_and_withdraws_its_resend(
    delivery: Delivery, arrived: int, settled: bool
) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered([given.tokens[0][0]], AT)
    given.settlement.note_receipts(ACCOUNT, [delivery], AT + arrived * 1000)
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
    given.settlement.note_receipts(ACCOUNT, [delivery], AT + 4_000)
    assert given.withdrawn() == []


def test_segments_are_settled_by_as_many_receipts() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    for message_id in ("r1", "r1", "r2"):
        assert given.withdrawn() == []
        delivery = receipt(message_id, "447700900100", "260101120000", "260101120003")
        given.settlement.note_receipts(ACCOUNT, [delivery], AT + 4_000)
    assert given.withdrawn() == [(100, 2)]
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "r1"), (2, "r2")]


def test_what_an_account_refuses_goes_to_another_account_as_a_whole_copy() -> None:
    given = SettlementUnderTest(segments=2, route=TWO_ACCOUNTS)
    given.settlement.settle(given.tokens[0][0], 0, "one", AT)
    given.settlement.settle(given.tokens[0][1], RINVSRCADR, "", AT)
    assert [status.outcome for status in given.statuses()] == [Outcome.ACCEPTED, Outcome.REFUSED_FOR_NOW]
    [job] = given.jobs()
    assert (job.refused_by, job.segments, job.possible_duplicate) == (("acc",), (), True)
    last = SettlementUnderTest(route=TWO_ACCOUNTS, refused_by=("other",))
    last.settlement.settle(last.tokens[0][0], RINVSRCADR, "", AT)
    assert [status.outcome for status in last.statuses()] == [Outcome.REFUSED]
    assert last.jobs() == []


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


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_segments_are_answered_in_any_order_and_their_statuses_go_out_together(order: tuple[int, ...]) -> None:
    given = SettlementUnderTest(segments=3)
    answers = [(0, "one"), (RSYSERR, ""), (RINVDSTADR, "")]
    for number, part in enumerate(order, 1):
        assert not given.statuses(), "not before the last"
        assert given.progress.pending
        given.settlement.settle(given.tokens[0][part], *answers[part], AT + number)
    assert [(status.segment, status.segments, status.outcome) for status in given.statuses()] == [
        (1, 3, Outcome.ACCEPTED),
        (2, 3, Outcome.REFUSED_FOR_NOW),
        (3, 3, Outcome.REFUSED),
    ]
    assert not given.progress.pending
    assert given.outbox.content.submits == 3
    [[job]] = given.retries().values()
    assert (job.segments, job.session, job.attempt, job.possible_duplicate) == ((2,), "session", 2, False)


def test_segments_given_up_are_unknown_and_the_answered_ones_stay_what_they_are() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=3)
    given.settlement.settle(given.tokens[0][1], 0, "two", AT)
    given.settlement.give_up(given.progress.unanswered(), AT)
    assert [(status.segment, status.outcome) for status in given.statuses()] == [
        (1, Outcome.UNKNOWN),
        (2, Outcome.ACCEPTED),
        (3, Outcome.UNKNOWN),
    ]
    [[job]] = given.retries().values()
    assert (job.segments, job.possible_duplicate) == ((), True), "a copy travels whole"
    given.settlement.settle(given.tokens[0][0], UNANSWERED, "", AT)
    given.settlement.settle(given.tokens[0][2], 0, "three", AT)
    assert [(status.segment, status.outcome) for status in given.statuses()[3:]] == [(3, Outcome.ACCEPTED)]


def test_a_segment_refused_for_now_beside_an_unanswered_one_that_is_not_resent_leaves_nobody_queued() -> None:
    given = SettlementUnderTest(segments=2)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    given.settlement.settle_unanswered([given.tokens[0][1]], AT)
    assert given.jobs() == []
    assert (given.statuses()[-1].outcome, given.statuses()[-1].segment) == (Outcome.UNKNOWN, 0)
    given.settlement.settle(given.tokens[0][1], 0, "two", AT + 9)
    [job] = given.jobs()
    assert (job.segments, job.session) == ((1,), "session"), "once all is known, the rest goes"


@pytest.mark.parametrize("msisdn", [b"+447700900123", b"447700900123"])
@pytest.mark.parametrize("key", [b"", b"key", b"k" * 64])
def test_the_hasher_is_the_hash(key: bytes, msisdn: bytes) -> None:
    assert number_hasher(key)(msisdn) == number_hash(key, msisdn)
