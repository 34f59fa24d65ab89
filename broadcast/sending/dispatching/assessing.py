"""The message of the jobs that come next, and outcomes for jobs that are not to be sent."""

from collections.abc import Callable
from typing import Final

import structlog

from broadcast.clock import monotonic
from broadcast.routing import Route
from broadcast.sending.accounts.route_accounts import RouteAccounts
from broadcast.sending.answers.tokens import Token
from broadcast.sending.control import ControlView
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.dispatching.failed_alerts import FailedAlerts
from broadcast.sending.messages import Message, MessageCache, MessageError
from broadcast.sending.outbox import Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.rules import OUTCOME_OF, Eligibility, assess
from broadcast.sending.sources import Run, Source
from schemas.control import variant_at
from schemas.job import Job
from schemas.status import Outcome

log = structlog.get_logger(__name__)

UNSENT_LIMIT: Final = 5_000
"""Statuses in one beat above which jobs that are not sent wait for the next: bounds memory and the beat."""

AIMED_LIMIT: Final = 100
"""Test messages of one partition that may wait for their account: more could hold up the others."""


class JobAssessor:
    """Finds the message of jobs; those that may not be sent get their outcome, and leave their source."""

    def __init__(
        self,
        *,
        route: Route,
        accounts: RouteAccounts,
        view: ControlView,
        messages: MessageCache,
        outbox: Outbox,
        in_doubt_limit: int,
        delayed: DelayedJobs,
        events: SenderEvents,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._accounts: Final = accounts
        self._route: Final = route
        self._simulated: Final = route.simulated
        self._view: Final = view
        self._messages: Final = messages
        self._outbox: Final = outbox
        self._limit: Final = in_doubt_limit
        self._delayed: Final = delayed
        self._events: Final = events
        self._clock: Final = clock
        self._failed: Final = FailedAlerts(events.raise_alarm, clock)

    @property
    def highest_segments(self) -> int:
        """The most segments that a message may have."""
        return self._messages.highest

    def next_message(self, source: Source[Token], now: int) -> Message | None:
        """The message of the first job that is to be sent; those before it that are not get their outcomes."""
        while True:
            if source.poison:
                self._put_aside_poison(source)
            if source.delayed:
                self._delayed.sort_out(source, now)
                if source.poison_first:
                    continue
            if not source.runs:
                if source.waiting and not source.aside:
                    source.waiting.clear()
                return None
            run = source.runs[0]
            found = self._assess(source, run, now)
            if found is None or isinstance(found, Message):
                return found
            if len(self._outbox.content.statuses) >= UNSENT_LIMIT:
                self._events.beat_now()
                return None
            self._settle_run(source, min(len(run), UNSENT_LIMIT), now, *found)

    def assess_aside(self, source: Source[Token], run: Run, now: int) -> Message | None:
        """The message of a run that was set aside; None when it waits, or has got its outcome."""
        found = self._assess(source, run, now)
        if found is None or isinstance(found, Message):
            return found
        self._settle_run(source, len(run), now, *found, run=run)
        return None

    def may_go_again(self, job: Job, now: int) -> bool:
        """Whether a job whose submit was throttled may still be submitted: no stop, not expired."""
        control = self._view.controls.get(job.alert_id)
        stopped = job.alert_id in self._view.stopped
        assessment = assess(
            control, stopped=stopped, live=self._route.live, now=now, absent=False, simulated=self._simulated
        )
        return assessment.eligibility is Eligibility.SUBMIT

    def _assess(self, source: Source[Token], run: Run, now: int) -> "Message | tuple[Outcome, str] | None":
        """The message to send a run with, or its outcome without a submit and why; None while it waits."""
        control = self._view.controls.get(run.alert_id)
        stopped = run.alert_id in self._view.stopped
        since = source.waiting.get(run.alert_id)
        absent = control is None and since is not None and self._view.passed(since)
        assessment = assess(
            control, stopped=stopped, live=self._route.live, now=now, absent=absent, simulated=self._simulated
        )
        if assessment.eligibility is Eligibility.WAIT:
            source.note_waiting(run.alert_id, self._clock())
            return None
        if control is not None:
            source.waiting.pop(run.alert_id, None)
        if assessment.eligibility is not Eligibility.SUBMIT or control is None:
            if assessment.eligibility is Eligibility.FAIL:
                self._failed.note(run.alert_id, assessment.reason)
            return OUTCOME_OF[assessment.eligibility], assessment.reason
        if control.account and (why_not := self._why_not_by(control.account, source, run)):
            return Outcome.FAILED, why_not
        variant = run.variant if run.text else variant_at(control, run.variant, now)
        if variant != run.variant and run.segments:
            return Outcome.EXPIRED, "the text of its other segments has expired"
        try:
            message = self._messages.find(control, variant, run.text, run.segments)
        except MessageError as error:
            self._failed.note(run.alert_id, str(error))
            return Outcome.FAILED, str(error)
        segments = len(message.numbers)
        for binds in self._accounts.in_force:
            if segments > binds.account.window:
                setting = f"window = {binds.account.window} of account {binds.account.name}"
                return Outcome.FAILED, f"{segments} segments exceed {setting}; raise it to {segments} at least"
        if segments > self._limit:
            setting = f"the in-doubt limit of {self._limit} for route {self._route.name}"
            return Outcome.FAILED, f"{segments} segments exceed {setting}; raise BROADCAST_IN_DOUBT_LIMIT"
        return message

    def _why_not_by(self, account: str, source: Source[Token], run: Run) -> str:
        """Why a test message cannot wait for the only account that may take it; empty if it can."""
        names = [binds.account.name for binds in self._accounts.in_force if binds.account.weight]
        if account not in names:
            return f"route {self._route.name} has no account {account} that sends; it has {', '.join(names)}"
        if sum(map(len, source.aside)) >= AIMED_LIMIT and run not in source.aside:
            return f"more than {AIMED_LIMIT} test messages wait for account {account}; try again when it works"
        return ""

    def _settle_run(
        self, source: Source[Token], count: int, now: int, outcome: Outcome, reason: str, *, run: Run | None = None
    ) -> None:
        control = self._view.controls.get((run or source.runs[0]).alert_id)
        jobs, offsets = source.cut(count, run)
        lane = control.lane if control else source.lane
        self._outbox.add_unsent(jobs, outcome, reason, lane, now)
        source.progress.settle_unsent(offsets)

    def _put_aside_poison(self, source: Source[Token]) -> None:
        while (poison := source.cut_poison()) is not None:
            record = poison.record
            log.warning(
                "dead_letter_written",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=poison.error,
            )
            self._outbox.add_dead_letter(record, poison.error)
            source.progress.settle_unsent([record.offset])
