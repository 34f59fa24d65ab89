"""Which jobs are written next, to which session, and which get an outcome without being sent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import structlog

from broadcast.alarms import JOBS_FAILED, Alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.routing import Route
from broadcast.sending.binds import AccountBinds
from broadcast.sending.control import ControlView
from broadcast.sending.messages import LANE_RANK, Message, MessageBook, MessageError
from broadcast.sending.outbox import Outbox
from broadcast.sending.rules import OUTCOME_OF, Verdict, judge
from broadcast.sending.settlement import Settlement, Submission, Token
from broadcast.sending.sources import Run, Source
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.template import DESTINATION_LIMIT
from broadcast.smpp.session import Session
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome

log = structlog.get_logger(__name__)

LOCAL_LIMIT: Final = 5_000
"""Statuses that one beat holds before jobs that are not sent have to wait for the next: bounds memory and the beat."""

Guard = Callable[[], bool]
"""Says whether submits may be written now (lease, beat, control)."""


@dataclass(slots=True)
class Group:
    """Jobs of one source and message, about to be written together."""

    source: Source[Token]
    message: Message
    recorded_at: int
    jobs: list[Job]
    offsets: list[int]


class Dispatch:
    """Works through the sources, most urgent lane first, as far as window, in-doubt limit and horizon allow."""

    def __init__(
        self,
        *,
        route: Route,
        accounts: Sequence[AccountBinds],
        view: ControlView,
        book: MessageBook,
        settlement: Settlement,
        outbox: Outbox,
        in_doubt_limit: int,
        may_write: Guard,
        want_beat: Callable[[], None],
        alarms: Alarms,
    ) -> None:
        self.accounts: Final = accounts
        self.sources: Sequence[Source[Token]] = ()
        self._route: Final = route
        self._view: Final = view
        self._book: Final = book
        self._settlement: Final = settlement
        self._outbox: Final = outbox
        self._limit: Final = in_doubt_limit
        self._may_write: Final = may_write
        self._want_beat: Final = want_beat
        self._alarms: Final = alarms
        self._turn = 0
        self._short = 0

    def pump(self) -> None:
        """Write what may be written. Cheap when there is nothing to do; called whenever something has changed."""
        if not self.sources or not self._may_write():
            return
        now = epoch_milliseconds()
        for binds, session in self._open_sessions():
            self._short = 1
            room = min(session.room, self._limit - self._settlement.in_doubt)
            groups = self._collect(room, now) if room > 0 else ()
            written = False
            for group in groups:
                written = self._write(binds, session, group, now) or written
            if session.room < self._short:
                session.await_room(self._short)
            elif not self._short and not written:
                return
        if self._outbox.parcel.submits * 2 >= self._limit:
            self._want_beat()

    def settle_locally(self) -> None:
        """Give outcomes to jobs at the head of every source that will not be sent, whether or not there is room."""
        if self.sources and self._may_write():
            now = epoch_milliseconds()
            for source in self.sources:
                self._head(source, now)

    def _open_sessions(self) -> Iterator[tuple[AccountBinds, Session[Token]]]:
        sessions = [(binds, session) for binds in self.accounts for session in binds.pool.sessions]
        self._turn += 1
        start = self._turn % len(sessions) if sessions else 0
        yield from chain(sessions[start:], sessions[:start])

    def _collect(self, room: int, now: int) -> Iterable[Group]:
        """Jobs to write, in order, of as many segments as there is room for."""
        self._short = 0
        groups: dict[tuple[int, int], Group] = {}
        for source in self._ordered(now):
            while room > 0:
                message = self._head(source, now)
                if message is None:
                    break
                if room < len(message.numbers):
                    # What is less urgent must not take the places that this one waits for.
                    self._short = len(message.numbers)
                    return groups.values()
                run = source.runs[0]
                count = self._allowed(source, run, room // len(message.numbers), now)
                if count <= 0:
                    break
                recorded_at = run.recorded_at
                jobs, offsets = source.cut(count)
                if source.progress.marked(offsets[0]):
                    self._mark(source, jobs, offsets)
                group = groups.get((id(source), id(message)))
                if group is None:
                    groups[id(source), id(message)] = Group(source, message, recorded_at, jobs, offsets)
                else:
                    group.jobs += jobs
                    group.offsets += offsets
                room -= count * len(message.numbers)
            if room <= 0:
                break
        return groups.values()

    def _ordered(self, now: int) -> list[Source[Token]]:
        """Sources with something to send, by lane; in turn within a lane, whether it was delayed or not."""
        ready: list[list[Source[Token]]] = [[] for _ in Lane]
        count = len(self.sources)
        for index in range(count):
            source = self.sources[(index + self._turn) % count]
            if source.empty:
                continue
            if source.delayed and source.runs:
                run = source.runs[0]
                if run.jobs[run.start].due_at > now:
                    continue
            ready[LANE_RANK[source.lane]].append(source)
        return list(chain.from_iterable(ready))

    def _allowed(self, source: Source[Token], run: Run, limit: int, now: int) -> int:
        """How many jobs at the head of a run may be taken: due, below the horizon, and within the position's size."""
        count = min(limit, len(run))
        if source.delayed:
            count = run.due(count, now)
        below = run.below(source.progress.allowed)
        if below < count:
            count = below
            self._want_beat()
        if count > 0 and not source.progress.fits(count, run.offsets[run.start + count - 1]):
            self._want_beat()
            return 0
        return count

    def _head(self, source: Source[Token], now: int) -> Message | None:
        """The message of the first job that is to be sent; those before it that are not get their outcomes."""
        while True:
            if source.poison:
                self._bury(source)
            if not source.runs:
                return None
            run = source.runs[0]
            ruling = self._judge(source, run, now)
            if ruling is None:
                return None
            if isinstance(ruling, Message):
                return ruling
            if len(self._outbox.parcel.statuses) >= LOCAL_LIMIT:
                self._want_beat()
                return None
            self._decide(source, min(len(run), LOCAL_LIMIT), now, *ruling)

    def _judge(self, source: Source[Token], run: Run, now: int) -> "Message | tuple[Outcome, str] | None":
        control = self._view.controls.get(run.alert_id)
        stopped = run.alert_id in self._view.stopped
        since = source.waiting.get(run.alert_id)
        absent = control is None and since is not None and self._view.passed(since)
        ruling = judge(control, stopped=stopped, live=self._route.live, now=now, absent=absent)
        if ruling.verdict is Verdict.WAIT:
            source.waiting = {run.alert_id: monotonic() if since is None else since}
            return None
        if ruling.verdict is not Verdict.SUBMIT or control is None:
            if ruling.verdict is Verdict.FAIL:
                self._alarms.raise_soon(JOBS_FAILED, run.alert_id, f"jobs got no submit: {ruling.reason}")
            return OUTCOME_OF[ruling.verdict], ruling.reason
        try:
            message = self._book.find(control, run.variant, run.text, run.segments)
        except MessageError as error:
            self._alarms.raise_soon(JOBS_FAILED, run.alert_id, f"jobs got no submit: {error}")
            return Outcome.FAILED, str(error)
        segments = len(message.numbers)
        for binds in self.accounts:
            if segments > binds.account.window:
                setting = f"window = {binds.account.window} of account {binds.account.name}"
                return Outcome.FAILED, f"{segments} segments exceed {setting}; raise it to {segments} at least"
        if segments > self._limit:
            setting = f"the in-doubt limit of {self._limit} for route {self._route.name}"
            return Outcome.FAILED, f"{segments} segments exceed {setting}; raise BROADCAST_IN_DOUBT_LIMIT"
        return message

    def _decide(self, source: Source[Token], count: int, now: int, outcome: Outcome, reason: str) -> None:
        control = self._view.controls.get(source.runs[0].alert_id)
        jobs, offsets = source.cut(count)
        self._outbox.add_local(jobs, outcome, reason, control.lane if control else source.lane, now)
        self._pass(source, offsets)

    def _bury(self, source: Source[Token]) -> None:
        while (poison := source.cut_poison()) is not None:
            record = poison.record
            log.warning(
                "dead_letter_written",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=poison.error,
            )
            self._outbox.add_dead_letter(poison.record, poison.error)
            self._pass(source, [poison.record.offset])

    def _pass(self, source: Source[Token], offsets: Sequence[int]) -> None:
        """These have an outcome without a submit."""
        for offset in offsets:
            source.progress.pending.pop(offset, None)
        source.progress.skip_to(offsets[-1] + 1)

    def _mark(self, source: Source[Token], jobs: Iterable[Job], offsets: Iterable[int]) -> None:
        for job, offset in zip(jobs, offsets, strict=True):
            if source.progress.marked(offset):
                job.possible_duplicate = True

    def _write(self, binds: AccountBinds, session: Session[Token], group: Group, now: int) -> bool:
        source = group.source
        submission = Submission(
            group.message, source.progress, source.partition.partition, binds.account, now, group.recorded_at
        )
        try:
            count = binds.write(session, submission, group.jobs, group.offsets)
        except PduError as error:
            self._sift(group, str(error), now)
            return True
        marked = sum([job.possible_duplicate for job in group.jobs[:count]])
        if marked:
            self._outbox.parcel.marked[group.message.lane] += marked
        if count < len(group.jobs):
            # TCP held it up in between: what was not taken waits, though later jobs may go first.
            source.put_back(group.jobs[count:], group.offsets[count:])
            source.progress.leave(group.offsets[count:])
        return count > 0

    def _sift(self, group: Group, reason: str, now: int) -> None:
        """A number of the group cannot be written as an address: it fails, the others wait for their next turn."""
        good: list[tuple[Job, int]] = []
        bad: list[tuple[Job, int]] = []
        for job, offset in zip(group.jobs, group.offsets, strict=True):
            fits = 0 < len(job.msisdn.lstrip("+").encode()) <= DESTINATION_LIMIT
            (good if fits else bad).append((job, offset))
        source = group.source
        if good:
            source.put_back([job for job, _ in good], [offset for _, offset in good])
            source.progress.leave([offset for _, offset in good])
        if bad:
            self._outbox.add_local([job for job, _ in bad], Outcome.FAILED, reason, group.message.lane, now)
            self._pass(source, [offset for _, offset in bad])
