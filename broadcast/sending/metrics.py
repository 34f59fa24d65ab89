"""What a sender tells its operators, in batches: with each received buffer, and with each beat."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from broadcast import metrics
from broadcast.sending.outbox import Parcel
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.settlement import Token
from broadcast.sending.sources import Source
from broadcast.smpp.codec.command_status import RMSGQFUL, RTHROTTLED, name_status
from schemas.lane import Lane
from schemas.status import Outcome

_WITHOUT_SUBMIT: Final = (Outcome.CANCELLED, Outcome.EXPIRED)


def count_answers(account: str, command_statuses: Iterable[int]) -> None:
    """Count answers to submits by their command_status; `UNANSWERED` stands for one that did not come."""
    for command_status, number in Counter(command_statuses).items():
        name = "unanswered" if command_status == UNANSWERED else name_status(command_status)
        metrics.smpp_submit.labels(account, name).inc(number)
        if command_status in (RTHROTTLED, RMSGQFUL):
            metrics.smpp_throttled.labels(account).inc(number)


class Figures:
    """What one route adds to the figures of its process: gauges add up over routes, so each knows its own share."""

    def __init__(self) -> None:
        self._in_doubt = 0
        self._in_flight: dict[Lane, int] = {}

    def report_beat(self, parcel: Parcel, *, in_doubt: int, sources: Iterable[Source[Token]], seconds: float) -> None:
        """Count what one beat carried, and what is left after it."""
        metrics.beat_duration.observe(seconds)
        metrics.in_doubt.inc(in_doubt - self._in_doubt)
        self._in_doubt = in_doubt
        for (lane, outcome), number in parcel.outcomes.items():
            metrics.jobs.labels(lane.value, outcome.value).inc(number)
            if outcome in _WITHOUT_SUBMIT:
                metrics.jobs_suppressed.labels(outcome.value).inc(number)
        for lane, handovers in parcel.handovers.items():
            metrics.observe_batch(metrics.handover_duration.labels(lane.value), handovers)
        for lane, number in parcel.marked.items():
            metrics.possible_duplicates.labels(lane.value).inc(number)
        for topic, number in Counter(key.decode() for key, _ in parcel.deadletters).items():
            metrics.deadletters.labels(topic).inc(number)
        in_flight = count_in_flight(sources)
        for lane in Lane:
            change = in_flight[lane] - self._in_flight.get(lane, 0)
            metrics.jobs_in_flight.labels(lane.value).inc(change)
        self._in_flight = in_flight


def count_in_flight(sources: Iterable[Source[Token]]) -> Counter[Lane]:
    """Jobs that were taken and have no outcome yet, by lane; one that waits on a delay topic is not yet taken."""
    found: Counter[Lane] = Counter()
    for source in sources:
        progress = source.progress
        found[source.lane] += len(progress.unanswered() if source.delayed else progress.pending)
    return found
