"""A beat's metrics: counters by lane and reason, gauges that add up over the routes of a process."""

from aiokafka import TopicPartition

from broadcast import metrics
from broadcast.kafka.position import fresh_position
from broadcast.sending.answers.tokens import Token
from broadcast.sending.metrics import RouteMetrics, count_answers
from broadcast.sending.outbox import BeatContent, Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.sources import Source
from broadcast.smpp.codec.command_status import RMSGQFUL, ROK, RTHROTTLED
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels) or 0.0


def source_with(pending: int, lane: Lane) -> Source[Token]:
    progress: Progress[Token] = Progress(fresh_position(0), "me")
    progress.leave(list(range(pending)))
    return Source(TopicPartition("jobs", 0), lane, progress)


def test_answers_are_counted_by_the_standards_names() -> None:
    count_answers("acc1", [ROK, ROK, RTHROTTLED, RMSGQFUL, UNANSWERED, 0x401])
    found = {
        name: value("smpp_submit_total", account="acc1", command_status=name)
        for name in ("ESME_ROK", "ESME_RTHROTTLED", "ESME_RMSGQFUL", "unanswered", "0x00000401")
    }
    assert found == {"ESME_ROK": 2, "ESME_RTHROTTLED": 1, "ESME_RMSGQFUL": 1, "unanswered": 1, "0x00000401": 1}
    assert value("smpp_throttled_total", account="acc1") == 2


def test_gauges_of_two_routes_add_up_and_end_at_nothing() -> None:
    before = value("jobs_in_flight", lane="priority"), value("in_doubt")
    one, two = RouteMetrics(), RouteMetrics()
    one.report_beat(BeatContent(), in_doubt=5, sources=[source_with(3, Lane.PRIORITY)], seconds=0.1)
    two.report_beat(BeatContent(), in_doubt=2, sources=[source_with(4, Lane.PRIORITY)], seconds=0.1)
    assert value("jobs_in_flight", lane="priority") - before[0] == 7
    assert value("in_doubt") - before[1] == 7
    one.report_beat(BeatContent(), in_doubt=0, sources=[], seconds=0.1)
    two.report_beat(BeatContent(), in_doubt=0, sources=[], seconds=0.1)
    assert (value("jobs_in_flight", lane="priority"), value("in_doubt")) == before


def test_what_was_not_submitted_is_counted_by_reason() -> None:
    before = value("jobs_suppressed_total", reason="cancelled"), value("possible_duplicates_total", lane="routine")
    content = BeatContent()
    content.outcomes[Lane.ROUTINE, Outcome.CANCELLED] += 3
    content.outcomes[Lane.ROUTINE, Outcome.ACCEPTED] += 9
    content.marked[Lane.ROUTINE] += 2
    content.deadletters += [(b"jobs.x", b"{}")] * 2
    RouteMetrics().report_beat(content, in_doubt=0, sources=[], seconds=0.1)
    assert value("jobs_suppressed_total", reason="cancelled") - before[0] == 3
    assert value("possible_duplicates_total", lane="routine") - before[1] == 2
    assert value("deadletters_total", topic="jobs.x") == 2


def test_what_is_not_submitted_is_counted_by_the_outcome_that_its_status_says() -> None:
    outbox = Outbox()
    plain, doubted = Job("a", 1, "+441"), Job("a", 2, "+442", possible_duplicate=True)
    outbox.add_unsent([plain, doubted, plain, plain], Outcome.CANCELLED, "stopped", Lane.PRIORITY, 1)
    assert outbox.content.outcomes == {(Lane.PRIORITY, Outcome.CANCELLED): 3, (Lane.PRIORITY, Outcome.UNKNOWN): 1}
