"""Jobs that another route gets, because no account of their own has worked for some time."""

from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka import TopicPartition

from broadcast import metrics
from broadcast.routing import Route
from broadcast.sending.answers.sequel import send_whole
from broadcast.sending.answers.unanswered import Unanswered
from broadcast.sending.outbox import Outbox
from schemas.job import Job
from schemas.lane import Lane
from schemas.topics import Names

log = structlog.get_logger(__name__)


class FallbackRoute:
    """Puts jobs on the topics of the fallback route, in the beat that counts them as done here.

    So each is on one route at any time, also after a crash. The fallback route has none of its own: a job changes its
    route once at most.
    """

    def __init__(self, route: Route, other: Route, names: Names, outbox: Outbox, unanswered: Unanswered) -> None:
        self._route: Final = route
        self._other: Final = other
        self._names: Final = names
        self._outbox: Final = outbox
        self._unanswered: Final = unanswered

    def is_due(self, unusable_since: float | None, now: float) -> bool:
        """Whether jobs are to change their route: no account has worked for `fallback_after_seconds`.

        `unusable_since` and `now` are monotonic seconds; None while an account works.
        """
        return unusable_since is not None and now - unusable_since >= self._route.fallback_after_seconds

    def take(self, jobs: Sequence[Job], lane: Lane) -> None:
        """Take jobs over as whole copies of the same attempt; no account of the other route has refused them.

        A resend, and one that a late answer or a receipt may still withdraw, goes to the shortest delay topic, and is
        due at once: there its withdrawal can follow it, and no probe takes it.
        """
        topic = self._names.jobs(self._other.name, lane)
        delay_topic = self._names.delay(self._other.name, lane, self._other.delays_seconds[0])
        for job in jobs:
            if job.segments:
                send_whole(job)
            job.due_at, job.session, job.refused_by, job.unanswered_by = 0, "", (), ()
            partition = job.recipient_id % self._other.partitions
            withdrawable = bool(self._unanswered) and self._unanswered.may_withdraw(job)
            to = TopicPartition(delay_topic if withdrawable or job.resends else topic, partition)
            if withdrawable:
                self._unanswered.note_moved(job, to)
            self._outbox.add_retry(job, to)
        metrics.jobs_rerouted.labels(lane.value).inc(len(jobs))
        log.warning("jobs_rerouted", route=self._route.name, to=self._other.name, count=len(jobs))


def find_fallback(
    route: Route, routes: Sequence[Route], names: Names, outbox: Outbox, unanswered: Unanswered
) -> FallbackRoute | None:
    """The fallback of a route among all routes of the file; None where it has none."""
    other = next((each for each in routes if each.name == route.fallback_route), None)
    return None if other is None else FallbackRoute(route, other, names, outbox, unanswered)
