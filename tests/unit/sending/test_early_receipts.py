"""A receipt that comes while its submit has no answer: kept, and the answer of that submit when it is given up."""

import pytest

from broadcast.sending.answers.early_receipts import BATCHES, DELIVERIES_LIMIT, OCTETS_LIMIT, EarlyReceipts
from broadcast.sending.answers.late import RECEIPTS_LIMIT
from broadcast.sending.answers.tokens import Token
from broadcast.smpp.codec.command_status import RSYSERR
from broadcast.smpp.codec.message import Delivery
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.settlement import ACCOUNT, AT, SettlementUnderTest, receipt

NUMBER = "447700900100"


def of_number(message_id: str = "r1", number: str = NUMBER) -> Delivery:
    return receipt(message_id, number, "260101120000", "260101120003")


def test_a_receipt_before_the_timeout_settles_the_submit_when_it_is_given_up_and_nothing_is_sent_again() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    assert given.statuses() == [], "an answer may still come"
    given.settlement.settle_unanswered(given.tokens[0], AT + 30_000)
    unknown, accepted = given.statuses()
    assert (unknown.outcome, unknown.reason) == (Outcome.UNKNOWN, "no answer")
    assert (accepted.outcome, accepted.late, accepted.message_id) == (Outcome.ACCEPTED, True, "r1")
    assert accepted.reason == "no answer; a receipt says that the SMSC has it"
    assert (accepted.attempt, accepted.submitted_at) == (unknown.attempt, unknown.submitted_at)
    assert given.withdrawn() == [(100, 2)]


def test_a_receipt_before_an_answer_in_time_changes_nothing() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    given.settlement.settle_many([(given.tokens[0][0], 0, b"", 1)], [b"r1"], AT + 4_000)
    assert [(status.outcome, status.late) for status in given.statuses()] == [(Outcome.ACCEPTED, False)]
    assert given.retries() == {}


def test_a_receipt_that_came_before_the_submit_was_written_is_not_of_it() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    early = receipt("r1", NUMBER, "2601011200", "2601011200")
    given.settlement.note_deliveries(ACCOUNT, [early], AT - 1)
    given.settlement.settle_unanswered(given.tokens[0], AT + 30_000)
    assert given.withdrawn() == []


@pytest.mark.parametrize(("receipts", "withdrawn"), [(1, []), (2, [(100, 2)])])
def test_each_segment_needs_a_receipt_of_its_own(receipts: int, withdrawn: list[tuple[int, int]]) -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    deliveries = [of_number(f"r{number}") for number in range(receipts)]
    given.settlement.note_deliveries(ACCOUNT, [*deliveries, deliveries[0]], AT + 3_000)
    given.settlement.settle_unanswered(given.tokens[0], AT + 30_000)
    assert given.withdrawn() == withdrawn
    assert [status.message_id for status in given.statuses() if status.late] == ["r0", "r1"][:receipts]


def test_a_segment_is_settled_though_another_one_is_answered_after_it_was_given_up() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    given.settlement.settle_unanswered(given.tokens[0][:1], AT + 30_000)
    given.settlement.settle(given.tokens[0][1], 0, "two", AT + 31_000)
    assert [(s.segment, s.message_id) for s in given.statuses() if s.late] == [(1, "r1")]
    assert given.withdrawn() == [(100, 2)]


def test_a_segment_that_was_refused_beside_one_settled_by_a_receipt_is_sent_again() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, segments=2)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "", AT + 4_000)
    given.settlement.settle_unanswered(given.tokens[0][1:], AT + 30_000)
    assert given.withdrawn() == []


def test_a_receipt_settles_what_is_given_up_because_the_partition_is_released() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    given.settlement.give_up(given.progress.unanswered(), AT + 4_000)
    assert given.withdrawn() == [(100, 2)]


def test_many_mute_submits_are_settled_each_by_its_own_receipt() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, jobs=50)
    deliveries = [of_number(f"r{number}", f"4477009001{number:02d}") for number in range(50)]
    for delivery in deliveries[:40]:
        given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 3_000)
    given.settlement.settle_unanswered([tokens[0] for tokens in given.tokens], AT + 60_000)
    assert given.withdrawn() == [(100 + number, 2) for number in range(40)]


def test_new_binds_of_an_account_keep_what_came_for_submits_of_the_binds_before() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    given.settlement.follow_deliveries("acc", list)
    for _ in range(BATCHES):
        given.settlement.note_deliveries(ACCOUNT, [of_number("r2", "447700900199")], AT + 3_500)
    given.settlement.settle_unanswered(given.tokens[0], AT + 30_000)
    assert [status.message_id for status in given.statuses() if status.late] == ["r1"]
    assert given.withdrawn() == [(100, 2)]


def test_binds_without_unanswered_submits_are_not_asked_once_there_are_new_ones() -> None:
    asked: list[str] = []

    def pending() -> list[list[Token]]:
        asked.append("before")
        return [[]]

    kept = EarlyReceipts(pending)
    kept.follow(list)
    kept.follow(list)
    for _ in range(BATCHES):
        kept.keep([of_number()], AT)
    assert asked == ["before"]
    assert len(kept) == 0


def test_receipts_of_answered_submits_are_not_kept() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    kept = EarlyReceipts(lambda: [given.progress.unanswered()])
    for number in range(BATCHES - 1):
        kept.keep([of_number()], AT - 100 + number)
    kept.keep([of_number("r1")], AT + 1)
    assert len(kept) == 1
    given.settlement.settle(given.tokens[0][0], 0, "r1", AT + 2)
    for _ in range(BATCHES):
        kept.keep([of_number()], AT + 3)
    assert len(kept) == 0


def test_while_one_submit_stays_unanswered_the_receipts_of_others_take_little_memory() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    kept = EarlyReceipts(lambda: [given.progress.unanswered()])
    kept.keep([of_number("mine")], AT + 1)
    others = [of_number("other", f"447700{number:06d}") for number in range(100)]
    for batch in range(10 * DELIVERIES_LIMIT // len(others)):
        kept.keep(others, AT + 2 + batch)
        assert len(kept) <= DELIVERIES_LIMIT
    assert [each.delivery for each in kept.find(NUMBER)] == [of_number("mine")]


def test_a_number_that_floods_is_forgotten_before_it_fills_the_memory() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    kept = EarlyReceipts(lambda: [given.progress.unanswered()])
    for batch in range(2 * DELIVERIES_LIMIT // 100):
        kept.keep([of_number()] * 100, AT + batch)
        assert len(kept) <= DELIVERIES_LIMIT


def test_of_large_deliveries_only_those_from_unanswered_numbers_are_kept_and_never_more_octets_than_the_limit() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    early = given.settlement._early[ACCOUNT.name]
    given.settlement.note_deliveries(ACCOUNT, [of_number()], AT + 3_000)
    large = b"\x04\x24\xfd\xe8" + b"x" * 65_000
    for sequence in range(1_000):
        other = Delivery(sequence, 0, b"447700900999", b"T", 0, b"", large)
        given.settlement.note_deliveries(ACCOUNT, [other], AT + 3_000)
        assert early._octets < OCTETS_LIMIT + len(large)
    assert len(early) <= OCTETS_LIMIT // 65_000 + 2
    given.settlement.settle_unanswered(given.tokens[0], AT + 30_000)
    assert given.withdrawn() == [(100, 2)]


def test_of_thousands_of_receipts_from_an_unanswered_number_only_the_first_are_looked_at() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered(given.tokens[0], AT + 1_000)
    other = Delivery(1, 4, NUMBER.encode(), b"T", 0, b"id:r0 stat:UNDELIV", b"")
    given.settlement.note_deliveries(ACCOUNT, [*[other] * RECEIPTS_LIMIT, of_number()], AT + 3_000)
    assert given.withdrawn() == []
    given.settlement.note_deliveries(ACCOUNT, [*[other] * (RECEIPTS_LIMIT - 1), of_number()], AT + 3_000)
    assert given.withdrawn() == [(100, 2)]
