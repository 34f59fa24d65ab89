"""Jobs that change their route: what is known of them later follows them there."""

import msgspec
from aiokafka import TopicPartition

from broadcast.routing import Route
from broadcast.sending.accounts.fallback_route import find_fallback
from broadcast.smpp.codec.command_status import RSYSERR
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome
from schemas.topics import Names
from tests.support.dispatch import SenderUnderTest, job, number_of
from tests.support.settlement import ACCOUNT, AT, ROUTE, SettlementUnderTest, receipt

OTHER = Route(name="o", prefixes=("+",), accounts=(ACCOUNT,), delays_seconds=(7, 40), partitions=8)
TO_OTHER = ROUTE.model_copy(update={"fallback_route": "o"})
JOBS = "p.jobs.o.immediate.v1"
DELAYED = "p.jobs.o.immediate.delay.7s.v1"


def moved(given: SettlementUnderTest, *jobs: Job) -> dict[TopicPartition, list[Job]]:
    """What is on the topics after these jobs have changed their route."""
    given.outbox.take()
    fallback = find_fallback(TO_OTHER, [TO_OTHER, OTHER], Names("p."), given.outbox, given.settlement.unanswered)
    assert fallback is not None
    fallback.take(jobs, Lane.IMMEDIATE)
    return given.retries()


def test_a_resend_that_changed_its_route_is_withdrawn_there_by_a_late_answer() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle_unanswered(given.tokens[0], AT)
    [resend] = given.jobs()
    assert list(moved(given, resend)) == [TopicPartition(DELAYED, 100 % 8)]
    given.outbox.take()
    given.settlement.settle(given.tokens[0][0], 0, "late", AT + 40_000)
    [(to, [withdrawal])] = given.retries().items()
    assert to == TopicPartition(DELAYED, 100 % 8)
    assert (withdrawal.recipient_id, withdrawal.attempt, withdrawal.withdrawn) == (100, 2, True)
    assert not given.settlement.unanswered.withdrawn, "it does not come up here"


def test_what_was_refused_for_now_and_changed_its_route_is_withdrawn_by_a_receipt_and_marked() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    given.settlement.settle(given.tokens[0][0], RSYSERR, "r1", AT)
    moved(given, *given.jobs())
    given.outbox.take()
    delivery = receipt("r1", "447700900100", "260101120000", "260101120003")
    given.settlement.note_deliveries(ACCOUNT, [delivery], AT + 4_000)
    [status] = given.statuses()
    assert (status.outcome, status.late, status.possible_duplicate) == (Outcome.ACCEPTED, True, True)
    assert given.withdrawn() == [(100, 2)]


def test_a_job_that_nothing_can_withdraw_changes_its_route_as_a_new_job() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    assert list(moved(given, Job("a" * 36, 100, "+447700900100"))) == [TopicPartition(JOBS, 100 % 8)]
    given.settlement.settle_unanswered(given.tokens[0], AT)
    another = Job("a" * 36, 100, "+447700900100", attempt=3)
    assert list(moved(given, another)) == [TopicPartition(JOBS, 100 % 8)]


def test_every_resend_changes_its_route_to_a_delay_topic_so_that_no_probe_takes_it() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE)
    resend = Job("a" * 36, 100, "+447700900100", attempt=2, resends=1, unanswered_by=("acc",))
    [(to, [job_there])] = moved(given, resend).items()
    assert to == TopicPartition(DELAYED, 100 % 8)
    assert (job_there.resends, job_there.unanswered_by) == (1, ()), "no account of the other route was silent"


async def test_the_other_route_sends_what_was_moved_at_once_and_drops_what_is_withdrawn() -> None:
    given = SettlementUnderTest(Lane.IMMEDIATE, jobs=2)
    given.settlement.settle_unanswered([tokens[0] for tokens in given.tokens], AT)
    records = moved(given, *given.jobs())
    given.settlement.settle(given.tokens[1][0], 0, "late", AT + 40_000)
    records = given.retries()
    sender = SenderUnderTest()
    bound = sender.bind()
    sent = [msgspec.structs.replace(each, msisdn=each.msisdn or "") for found in records.values() for each in found]
    sender.feed(sender.delayed, [*sent, job(7, attempt=2)])
    sender.write_ready()
    assert bound.take() == ["447700900100", number_of(7)]
    assert all(
        token[1].possible_duplicate for token in sender.delayed.progress.unanswered() if token[1].recipient_id == 100
    )
