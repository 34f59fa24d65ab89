"""What a sender tells its operators, in batches: with each received buffer, and with each beat."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import TopicPartition

from broadcast import metrics
from broadcast.health import Health, WatchedLog
from broadcast.sending.answers.tokens import Token
from broadcast.sending.outbox import BeatContent
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.sources import Source, Sources
from broadcast.smpp.codec.command_status import RMSGQFUL, RTHROTTLED, name_status
from schemas.lane import Lane
from schemas.status import Outcome

_WITHOUT_SUBMIT: Final = (Outcome.CANCELLED, Outcome.EXPIRED)


def count_answers(account: str, command_statuses: Iterable[int]) -> Counter[int]:
    """Count answers to submits by their command_status; `UNANSWERED` stands for one that did not come."""
    counts = Counter(command_statuses)
    for command_status, number in counts.items():
        name = "unanswered" if command_status == UNANSWERED else name_status(command_status)
        metrics.smpp_submit.labels(account, name).inc(number)
        if command_status in (RTHROTTLED, RMSGQFUL):
            metrics.smpp_throttled.labels(account).inc(number)
    return counts


def begin_account(account: str) -> None:
    """Export what an account may count from 0."""
    metrics.begin(metrics.smpp_submit, [account], [name_status(0), "unanswered"])
    for counter in (metrics.smpp_throttled, metrics.smpp_late):
        metrics.begin(counter, [account])


class RouteMetrics:
    """One route's part of the metrics of its process.

    Gauges add up over the routes of a process, so each route remembers what it has added.
    """

    def __init__(self) -> None:
        metrics.begin(metrics.jobs, Lane, Outcome)
        for metric in (metrics.handover_duration, metrics.possible_duplicates):
            metrics.begin(metric, Lane)
        self._in_doubt = 0
        self._in_flight: dict[Lane, int] = {}

    def report_beat(
        self, content: BeatContent, *, in_doubt: int, sources: Iterable[Source[Token]], seconds: float
    ) -> None:
        """Count what one beat carried, how long it took, and what is left after it."""
        metrics.beat_duration.observe(seconds)
        metrics.in_doubt.inc(in_doubt - self._in_doubt)
        self._in_doubt = in_doubt
        for (lane, outcome), number in content.outcomes.items():
            metrics.jobs.labels(lane.value, outcome.value).inc(number)
            if outcome in _WITHOUT_SUBMIT:
                metrics.jobs_suppressed.labels(outcome.value).inc(number)
        for lane, handovers in content.handovers.items():
            metrics.observe_batch(metrics.handover_duration.labels(lane.value), handovers)
        for lane, number in content.marked.items():
            metrics.possible_duplicates.labels(lane.value).inc(number)
        for topic, number in Counter(key.decode() for key, _ in content.deadletters).items():
            metrics.deadletters.labels(topic).inc(number)
        in_flight = count_in_flight(sources)
        for lane in Lane:
            change = in_flight[lane] - self._in_flight.get(lane, 0)
            metrics.jobs_in_flight.labels(lane.value).inc(change)
        self._in_flight = in_flight


class RouteProgress:
    """One route's part of the health of its process: how many jobs are left, and whether it gets further."""

    def __init__(self, health: Health, group: str, topics: Iterable[str]) -> None:
        self._health: Final = health
        self._group: Final = group
        self._topics: Final = tuple(topics)
        self._reached = -1
        self._sources: Sources | None = None
        self._ends: dict[TopicPartition, int] = {}
        health.logs.append(WatchedLog(self._read_partitions, self._ends.update))

    def report(self, sources: Sources, log_end: Callable[[TopicPartition], int | None]) -> None:
        """A beat is committed: report the lag that is left.

        What a fetch has told of a log's end is old while nothing is fetched: the end that was asked for counts too.
        """
        self._sources = sources
        lags = dict.fromkeys(self._topics, 0)
        waiting = reached = 0
        for partition, source in sources.items():
            position = source.progress.committed
            lag = max(0, max(log_end(partition) or 0, self._ends.get(partition, 0)) - position.offset)
            lags[partition.topic] += lag
            # A job on a delay topic stands still on purpose.
            if not source.delayed:
                waiting += lag
                reached += position.offset + position.end
        self._health.progress(self._group, lags, moved=not waiting or reached != self._reached)
        self._reached = reached

    def _read_partitions(self) -> tuple[TopicPartition, ...]:
        return () if self._sources is None else tuple(self._sources)


def count_in_flight(sources: Iterable[Source[Token]]) -> Counter[Lane]:
    """Jobs that were taken and have no outcome yet, by lane.

    One that waits on a delay topic is not yet taken.
    """
    found: Counter[Lane] = Counter()
    for source in sources:
        progress = source.progress
        found[source.lane] += len(progress.unanswered() if source.delayed else progress.pending)
    return found
