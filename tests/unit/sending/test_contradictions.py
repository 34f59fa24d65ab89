"""An SMSC that takes what it refuses: a receipt or a second answer says so, and nobody gets more than a few copies."""

import pytest

from broadcast.alarms import ACCOUNT_CONTRADICTS, ACCOUNT_COSTLY
from broadcast.sending.answers.throttled import MOST_WRITES
from broadcast.sending.answers.tokens import Token
from broadcast.smpp.codec.command_status import RINVDSTADR, RINVSRCADR, RMSGQFUL, RSYSERR, RTHROTTLED
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.pdu import GENERIC_NACK, SUBMIT_SM_RESP, encode_pdu
from broadcast.smpp.rates.pacing import Pacing
from schemas.status import Outcome
from tests.support.dispatch import BoundSession, SenderUnderTest, job, number_of
from tests.support.settlement import ACCOUNT, AT, TWO_ACCOUNTS, SettlementUnderTest, receipt

AGAIN = [RSYSERR, RTHROTTLED, RMSGQFUL, 0x04]
"""Refusals of each class after which the account gets the message again: for now, throttled, number, session."""


def delivered(message_id: str) -> Delivery:
    return receipt(message_id, "447700900100", "260101120000", "260101120003")


def write_retry(given: SettlementUnderTest) -> Token:
    [retry] = given.jobs()
    token: Token = (given.submission, retry, 50, None, 0)
    given.settlement.note_submitted(given.submission, [50], [token], 1)
    return token


def refuse(given: SettlementUnderTest, status: int, message_id: str) -> None:
    """A refusal after which the message is written again: where it was throttled, because its session has ended."""
    given.settlement.settle(given.tokens[0][0], status, message_id, AT)
    given.settlement.retry_throttled(AT + 1)


@pytest.mark.parametrize("status", [*AGAIN, RINVSRCADR])
def test_a_receipt_with_the_id_of_a_refusal_withdraws_what_would_be_written_again(status: int) -> None:
    given = SettlementUnderTest(route=TWO_ACCOUNTS)
    refuse(given, status, "r1")
    assert len(given.jobs()) == 1
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 4_000)
    accepted = given.statuses()[-1]
    assert (accepted.outcome, accepted.message_id, accepted.possible_duplicate) == (Outcome.ACCEPTED, "r1", False)
    assert given.withdrawn() == [(100, 2)]
    assert given.settlement.take_contradictions("acc") == 1


@pytest.mark.parametrize("status", [*AGAIN, RINVSRCADR])
@pytest.mark.parametrize("written", [False, True])
def test_an_acceptance_after_a_refusal_withdraws_the_next_attempt_or_marks_both(status: int, written: bool) -> None:
    given = SettlementUnderTest(route=TWO_ACCOUNTS)
    refuse(given, status, "")
    if written:
        retry = write_retry(given)
    given.settlement.settle_second([given.tokens[0][0]], [b"r1"], AT + 5)
    if written:
        given.settlement.settle_many([(retry, 0, b"", 1)], [b"r2"], AT + 7_000)
        marks = [(each.attempt, each.outcome, each.possible_duplicate) for each in given.statuses()[1:]]
        assert marks == [(1, Outcome.ACCEPTED, True), (2, Outcome.ACCEPTED, True)]
    assert given.withdrawn() == ([] if written else [(100, 2)])
    assert given.settlement.take_contradictions("acc") == 1


def test_an_acceptance_after_a_refusal_for_good_is_the_outcome() -> None:
    given = SettlementUnderTest()
    given.settlement.settle(given.tokens[0][0], RINVDSTADR, "", AT)
    given.settlement.settle_second([given.tokens[0][0]], [b"r1"], AT + 5)
    assert [each.outcome for each in given.statuses()] == [Outcome.REFUSED, Outcome.ACCEPTED]
    assert given.jobs() == []


def test_one_part_that_was_taken_leaves_the_others_to_be_sent() -> None:
    given = SettlementUnderTest(segments=2)
    one, two = given.tokens[0]
    given.settlement.settle(one, RTHROTTLED, "r1", AT)
    given.settlement.settle(two, RSYSERR, "", AT)
    given.settlement.retry_throttled(AT + 1)
    given.settlement.note_deliveries(ACCOUNT, [delivered("r1")], AT + 4_000)
    assert given.withdrawn() == []
    given.settlement.settle_second([two], [b"r2"], AT + 5_000)
    assert given.withdrawn() == [(100, 2)]


def test_a_second_refusal_of_a_part_that_was_taken_changes_nothing() -> None:
    given = SettlementUnderTest(segments=2)
    one, two = given.tokens[0]
    given.settlement.settle(one, RTHROTTLED, "", AT)
    given.settlement.settle_second([one], [b"r1"], AT + 1)
    given.settlement.settle(one, RSYSERR, "", AT + 2)
    given.settlement.settle(two, 0, "r2", AT + 3)
    assert [(each.segment, each.outcome, each.message_id) for each in given.statuses()] == [
        (1, Outcome.ACCEPTED, "r1"),
        (2, Outcome.ACCEPTED, "r2"),
    ]


def test_what_is_refused_without_a_doubt_is_forgotten_after_the_response_timeout() -> None:
    given = SettlementUnderTest()
    refuse(given, RMSGQFUL, "")
    assert given.settlement.unanswered
    given.settlement.unanswered.prune(AT + 1 + int(ACCOUNT.response_timeout_seconds * 1000))
    assert not given.settlement.unanswered


def start() -> tuple[SenderUnderTest, BoundSession]:
    sender = SenderUnderTest()
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    assert bound.take() == [number_of(1)]
    return sender, bound


def allow_all(sender: SenderUnderTest, bound: BoundSession) -> None:
    bound.session.pacing = Pacing(None, 0.0)  # type: ignore[misc]
    bound.session._writing_paused = False
    sender.write_ready()


def throttle(bound: BoundSession, message_id: bytes = b"") -> int:
    """Refuse the oldest submit because of the rate; its sequence number."""
    bound.session._writing_paused = True
    sequence = bound.open.pop(0).sequence
    bound.session.data_received(encode_pdu(SUBMIT_SM_RESP, RTHROTTLED, sequence, message_id + b"\0"))
    return sequence


def deliver(sender: SenderUnderTest, message_id: str) -> None:
    sender.settlement.note_deliveries(ACCOUNT, [receipt(message_id, number_of(1), "2601011200", "2601011200")], AT)


async def test_a_throttled_submit_with_a_receipt_of_its_id_does_not_go_again() -> None:
    sender, bound = start()
    throttle(bound, b"r1")
    deliver(sender, "r1")
    allow_all(sender, bound)
    assert bound.take() == []
    assert [(each.outcome, each.message_id, each.possible_duplicate) for each in sender.statuses()] == [
        (Outcome.ACCEPTED, "r1", False)
    ]
    sender.beat()
    assert sender.settlement.in_doubt == 0
    assert not sender.jobs.progress.pending


@pytest.mark.parametrize("answer", [0, RTHROTTLED, RSYSERR])
async def test_a_receipt_for_a_throttled_submit_that_goes_again_marks_it_and_ends_its_copies(answer: int) -> None:
    sender, bound = start()
    throttle(bound, b"r1")
    allow_all(sender, bound)
    assert bound.take() == [number_of(1)]
    deliver(sender, "r1")
    bound.answer(answer)
    allow_all(sender, bound)
    assert bound.take() == []
    assert {(each.outcome, each.possible_duplicate) for each in sender.statuses()} == {(Outcome.ACCEPTED, True)}
    assert sender.retries() == []
    sender.beat()
    assert sender.settlement.in_doubt == 0


async def test_a_receipt_for_a_throttled_submit_marks_the_copy_that_was_accepted_before() -> None:
    sender, bound = start()
    throttle(bound, b"r1")
    allow_all(sender, bound)
    bound.take()
    bound.answer(0)
    deliver(sender, "r1")
    assert [(each.outcome, each.possible_duplicate) for each in sender.statuses()] == [
        (Outcome.ACCEPTED, False),
        (Outcome.ACCEPTED, True),
    ]


@pytest.mark.parametrize("first", [RTHROTTLED, RSYSERR, RMSGQFUL])
@pytest.mark.parametrize("command", [SUBMIT_SM_RESP, GENERIC_NACK])
async def test_a_second_answer_that_accepts_what_was_refused_leaves_one_copy_and_an_alarm(
    first: int, command: int
) -> None:
    sender, bound = start()
    sequence = bound.open.pop(0).sequence
    bound.session._writing_paused = True
    for pdu in (
        encode_pdu(command, first, sequence),
        encode_pdu(SUBMIT_SM_RESP, 0, sequence, b"r1\0"),
    ):
        bound.session.data_received(pdu)
    allow_all(sender, bound)
    assert bound.take() == []
    last = sender.statuses()[-1]
    assert (last.outcome, last.message_id, last.possible_duplicate) == (Outcome.ACCEPTED, "r1", False)
    assert all(each.withdrawn for each in sender.retries()[1:])
    assert [(kind, subject) for kind, subject, _ in sender.alarms] == [(ACCOUNT_CONTRADICTS, "acc")]


async def test_a_refusal_after_the_acceptance_changes_nothing() -> None:
    sender, bound = start()
    sequence = bound.open[0].sequence
    bound.answer(0)
    bound.session.data_received(encode_pdu(SUBMIT_SM_RESP, RSYSERR, sequence))
    assert sender.outcomes() == [(1, Outcome.ACCEPTED)]
    assert sender.retries() == []
    assert bound.session.take_unexpected() == {"response": 1}


async def test_a_submit_that_is_always_throttled_is_written_a_few_times_and_is_a_retry_then() -> None:
    sender, bound = start()
    writes = 1
    for _ in range(3 * MOST_WRITES):
        if bound.open:
            throttle(bound)
        allow_all(sender, bound)
        writes += len(bound.take())
    assert writes == MOST_WRITES
    assert sender.outcomes() == [(1, Outcome.REFUSED_FOR_NOW)]
    assert [each.attempt for each in sender.retries()] == [2]


async def test_an_account_whose_deliveries_cost_much_is_named() -> None:
    sender = SenderUnderTest()
    binds = sender.accounts.in_force[0]
    binds.note_receipts([], 0.002, 100)
    assert sender.alarms == []
    binds.note_receipts([], 0.4, 2)
    binds.note_receipts([], 0.4, 2)
    assert [(kind, subject) for kind, subject, _ in sender.alarms] == [(ACCOUNT_COSTLY, "acc")]
