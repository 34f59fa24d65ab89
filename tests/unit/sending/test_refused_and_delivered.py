"""An SMSC that refuses a submit for now and delivers it all the same: the next attempt is withdrawn, or marked."""

from datetime import UTC, datetime, timedelta

import pytest

from broadcast.sending.answers.tokens import Token
from broadcast.smpp.codec.command_status import RSYSERR
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.pdu import SUBMIT_SM_RESP, encode_pdu
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.dispatch import SenderUnderTest, job
from tests.support.settlement import ACCOUNT, AT, SettlementUnderTest, receipt


def delivered(message_id: str, state: str = "DELIVRD") -> Delivery:
    return receipt(message_id, "447700900100", "260101120000", "260101120003", state)


def write_retry(given: SettlementUnderTest) -> Token:
    [retry] = given.jobs()
    token: Token = (given.submission, retry, 50, None, 0)
    given.settlement.note_submitted(given.submission, [50], [token], 1)
    return token


@pytest.mark.parametrize("error", [RSYSERR, 0x45, 0x0450])
@pytest.mark.parametrize("message_id", ["r1", ""])
def test_a_receipt_for_what_was_refused_for_now_withdraws_the_next_attempt(error: int, message_id: str) -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], error, message_id, AT)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 4_000)
    refused, accepted = given.statuses()
    assert (refused.outcome, accepted.outcome, accepted.late) == (Outcome.REFUSED_FOR_NOW, Outcome.ACCEPTED, True)
    assert (accepted.message_id, accepted.error) == ("r1", 0)
    assert accepted.reason == "refused for now; a receipt says that the SMSC has it all the same"
    assert not accepted.possible_duplicate
    assert given.withdrawn() == [(100, 2)]


def test_a_receipt_that_came_before_the_refusal_withdraws_the_next_attempt_too() -> None:
    given = SettlementUnderTest()
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 4_000)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT + 5_000)
    assert given.withdrawn() == [(100, 2)]


@pytest.mark.parametrize("refused", [False, True], ids=["not answered", "refused for now without an id"])
@pytest.mark.parametrize(("gap", "settled"), [(16_000, False), (900_000, False), (1_200_000, True)])
def test_a_held_receipt_of_an_older_alert_settles_no_submit_of_a_newer_one(
    gap: int, settled: bool, refused: bool
) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.unanswered.alerts.note("acc", "b" * 36, AT - gap)
    if refused:
        given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    else:
        given.settlement.settle_unanswered(given.tokens[0], AT)
    submitted = datetime(2026, 1, 1, 12, tzinfo=UTC) - timedelta(milliseconds=gap)
    held = [f"{at:%y%m%d%H%M%S}" for at in (submitted, submitted + timedelta(seconds=3))]
    given.settlement.note_deliveries(ACCOUNT, [receipt("old", "447700900100", *held)], AT + 4_000)
    if settled:
        # No other alert can have the date of this write: the receipt is not of the older one.
        given.settlement.note_deliveries(ACCOUNT, [delivered("new")], AT + 4_000)
    assert [status.message_id for status in given.statuses() if status.late] == (["new"] if settled else [])


def test_an_id_that_was_answered_to_somebody_else_settles_nothing() -> None:
    given = SettlementUnderTest(jobs=2)
    given.settlement.settle_many([(given.tokens[1][0], 0, b"", 1)], [b"r1"], AT)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 4_000)
    assert given.withdrawn() == []
    given.settlement.note_deliveries(ACCOUNT, [delivered("r2")], AT + 4_000)
    assert given.withdrawn() == [(100, 2)]


def test_a_receipt_that_says_undelivered_withdraws_nothing() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RSYSERR, "r1", AT)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1", "UNDELIV")], AT + 4_000)
    assert given.withdrawn() == []
    assert len(given.statuses()) == 1


def test_a_receipt_after_the_next_attempt_was_written_marks_both() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RSYSERR, "r1", AT)
    retry = write_retry(given)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 6_000)
    given.settlement.settle_many([(retry, 0, b"", 1)], [b"r2"], AT + 7_000)
    assert given.withdrawn() == []
    assert [(s.attempt, s.outcome, s.possible_duplicate) for s in given.statuses()] == [
        (1, Outcome.REFUSED_FOR_NOW, False),
        (1, Outcome.ACCEPTED, True),
        (2, Outcome.ACCEPTED, True),
    ]


def test_a_receipt_after_the_next_attempt_was_accepted_marks_the_message() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RSYSERR, "r1", AT)
    given.settlement.settle_many([(write_retry(given), 0, b"", 1)], [b"r2"], AT + 6_000)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r2"), delivered("r1")], AT + 7_000)
    late = [status for status in given.statuses() if status.late]
    assert [(s.attempt, s.message_id, s.possible_duplicate) for s in late] == [(1, "r1", True)]


def test_nothing_is_kept_of_a_refusal_without_an_id_once_the_next_attempt_is_accepted() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT)
    assert given.settlement.unanswered
    given.settlement.settle_many([(write_retry(given), 0, b"", 1)], [b"r2"], AT + 6_000)
    assert not given.settlement.unanswered
    given.settlement.note_deliveries(ACCOUNT, [delivered("r2")], AT + 7_000)
    assert len(given.statuses()) == 2


def test_the_receipts_of_all_refused_segments_withdraw_the_next_attempt() -> None:
    given = SettlementUnderTest(segments=3)
    for token, (status, message_id) in zip(given.tokens[0], [(RSYSERR, "a"), (0, "b"), (RSYSERR, "")], strict=True):
        given.settlement.settle(token, status, message_id, AT)
    given.settlement.note_deliveries(ACCOUNT, [delivered("b"), delivered("a")], AT + 4_000)
    assert given.withdrawn() == []
    given.settlement.note_deliveries(ACCOUNT, [delivered("c")], AT + 5_000)
    assert given.withdrawn() == [(100, 2)]
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "a"), (3, "c")]


def test_a_receipt_for_one_segment_and_a_late_answer_for_the_other_leave_nothing_to_send() -> None:
    given = SettlementUnderTest(Lane.ROUTINE, segments=2)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "a", AT)
    given.settlement.settle_unanswered(given.tokens[0][1:], AT)
    given.settlement.note_deliveries(ACCOUNT, [delivered("a")], AT + 4_000)
    given.settlement.settle(given.tokens[0][1], 0, "b", AT + 9_000)
    assert given.jobs() == []
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "a"), (2, "b")]


async def test_the_id_in_the_body_of_an_error_is_known() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    bound.take()
    bound.session.data_received(encode_pdu(SUBMIT_SM_RESP, RSYSERR, bound.open[0].sequence, b"r1\0"))
    assert [(status.error, status.message_id) for status in sender.statuses()] == [(RSYSERR, "r1")]
