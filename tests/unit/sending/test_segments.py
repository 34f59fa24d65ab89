"""A job of several segments has its outcome when all of them have an answer."""

import itertools

import pytest

from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import RINVDSTADR, RSYSERR
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.settlement import AT, SettlementUnderTest


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
