"""Which jobs are written next, to which session, and which get an outcome without being sent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import structlog

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.routing import Account, Route
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.fallback_route import FallbackRoute
from broadcast.sending.accounts.route_accounts import RouteAccounts
from broadcast.sending.answers.throttled import Throttled
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.control import ControlView
from broadcast.sending.dispatching.assessing import UNSENT_LIMIT, JobAssessor
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.messages import LANE_RANK, Message, MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Run, Source
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.template import DESTINATION_LIMIT, SubmitTemplate
from broadcast.smpp.session import Session
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Group:
    """Jobs of one source and message, about to be written together."""

    source: Source[Token]
    message: Message
    recorded_at: int
    jobs: list[Job]
    offsets: list[int]


class Dispatch:
    """Works through `sources`, the most urgent lane first, as far as window, in-doubt limit and horizon allow.

    `sources` are those that may be written to sessions: empty between a takeover and its first beat.
    """

    def __init__(
        self,
        *,
        route: Route,
        accounts: RouteAccounts,
        view: ControlView,
        messages: MessageCache,
        settlement: Settlement,
        outbox: Outbox,
        in_doubt_limit: int,
        events: SenderEvents,
        fallback: FallbackRoute | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._accounts: Final = accounts
        self.sources: Sequence[Source[Token]] = ()
        self._messages: Final = messages
        self._settlement: Final = settlement
        self._outbox: Final = outbox
        self._limit: Final = in_doubt_limit
        self._events: Final = events
        self._fallback: Final = fallback
        self._clock: Final = clock
        self._delayed: Final = DelayedJobs(outbox, settlement.unanswered, events)
        self._assessor: Final = JobAssessor(
            route=route,
            accounts=accounts,
            view=view,
            messages=messages,
            outbox=outbox,
            in_doubt_limit=in_doubt_limit,
            delayed=self._delayed,
            events=events,
            clock=clock,
        )
        self._turn = 0
        self._segments_wanted = 0

    def write_ready(self) -> None:
        """Write what may be written; cheap when there is nothing to do."""
        if not self.sources or not self._events.may_write():
            return
        now = epoch_milliseconds()
        self._turn += 1
        sessions = list(self._accounts.sessions())
        others = list(self._accounts.other_sessions())
        self._delayed.sessions = {session.identity: binds.account.name for binds, session in (*sessions, *others)}
        self._settlement.keep_throttled(self._delayed.sessions, now)
        shares = [self._share_of(binds.account) for binds, _ in sessions]
        # On every session, also where no new job is left for it.
        throttled = [self._write_throttled(binds, session, now) for binds, session in sessions]
        for (binds, session), share, left in zip(sessions, shares, throttled, strict=True):
            self._segments_wanted = 1
            if left:
                continue
            room = self._room_on(binds, session, share)
            groups = self._collect(binds.account.name, session.identity, room, now) if room > 0 else ()
            written = False
            for group in groups:
                written = self._write(binds, session, group, now) or written
            if session.room < self._segments_wanted:
                session.await_room(self._segments_wanted)
            elif not self._segments_wanted and not written and not any(source.aside for source in self.sources):
                break
        for binds, session in others:
            if not self._write_throttled(binds, session, now) and any(source.aside for source in self.sources):
                self._write_aside(binds, session, now)
        if self._outbox.content.submits * 2 >= min(self._limit, sum(shares)):
            self._events.beat_now()

    def settle_unsent(self) -> None:
        """Give outcomes to the first jobs of every source, as far as they are not to be sent.

        It needs no room on a session.
        """
        if self.sources and self._events.may_write():
            now = epoch_milliseconds()
            for source in self.sources:
                for run in tuple(source.aside):
                    self._assessor.assess_aside(source, run, now)
                self._assessor.next_message(source, now)
            if self._fallback is not None and self._fallback.is_due(self._accounts.unusable_since, self._clock()):
                self._reroute(self._fallback, now)

    def _reroute(self, fallback: FallbackRoute, now: int) -> None:
        """Give jobs that are due to the fallback route, as many as one beat bears; those on sessions stay."""
        left = UNSENT_LIMIT
        for source in self._ordered(now):
            for run in tuple(source.aside):
                message = self._assessor.assess_aside(source, run, now)
                if message is not None:
                    left -= self._reroute_run(fallback, source, len(run), message, run)
            while left > 0 and (message := self._assessor.next_message(source, now)) is not None:
                count = min(left, len(source.runs[0]))
                if source.delayed:
                    run = source.runs[0]
                    count = self._delayed.before_withdrawn(source, run, run.due(count, now))
                if not count:
                    break
                left -= self._reroute_run(fallback, source, count, message)
        if left < UNSENT_LIMIT:
            self._events.beat_now()

    def _reroute_run(
        self, fallback: FallbackRoute, source: Source[Token], count: int, message: Message, run: Run | None = None
    ) -> int:
        jobs, offsets = self._cut(source, count, run)
        fallback.take(jobs, message.lane)
        source.progress.settle_unsent(offsets)
        return len(jobs)

    def _share_of(self, account: Account) -> int:
        """The part of the in-doubt limit of one bind: one that answers nothing must not stop the others."""
        return max(self._limit // (len(self._accounts.in_force) * account.binds), self._messages.highest)

    def _room_on(self, binds: AccountBinds, session: Session[Token], share: int) -> int:
        in_doubt = self._settlement.in_doubt_of(session.identity)
        return min(session.room, binds.breaker.room, self._limit - self._settlement.in_doubt, share - in_doubt)

    def _write_throttled(self, binds: AccountBinds, session: Session[Token], now: int) -> bool:
        """Write again what the SMSC refused because of the rate, before new jobs; whether some of it is left."""
        throttled = self._settlement.throttled.of(session.identity)
        if throttled is None:
            return False
        items: list[tuple[SubmitTemplate, bytes, Token]] = []
        taken: list[Throttled] = []
        renewed: dict[Submission, Submission] = {}
        for _ in range(min(session.room, binds.breaker.room, len(throttled))):
            each = throttled.popleft()
            (submission, job, offset, sent, part), command_status = each
            if not self._assessor.may_go_again(job, now):
                self._settlement.end_throttled(each, now)
                continue
            if sent is None:
                if submission not in renewed:
                    renewed[submission] = replace(submission, at=now, held=set())
                submission = renewed[submission]
            token: Token = (submission, job, offset, sent, part)
            template = submission.message.templates(binds.account, now)[part]
            items.append((template, job.msisdn.lstrip("+").encode(), token))
            taken.append((token, command_status))
        count = binds.write_again(session, items)
        for _, _, token in items[:count]:
            if token[3] is None:
                token[0].progress.renew(token[2], token)
        throttled.extendleft(reversed(taken[count:]))
        if throttled:
            session.await_room()
        return bool(throttled)

    def _collect(self, account: str, session: str, room: int, now: int) -> Iterable[Group]:
        """Take jobs to write, in order, of as many segments as there is room for."""
        self._segments_wanted = 0
        groups: dict[tuple[int, int], Group] = {}
        for source in self._ordered(now):
            if source.delayed:
                self._delayed.sort_out(source, now)
                if source.aside:
                    self._delayed.take_back(source, now)
                    room = self._collect_aside(source, account, session, room=room, now=now, groups=groups)
            while room > 0:
                message = self._assessor.next_message(source, now)
                if message is None:
                    break
                if room < len(message.numbers):
                    # What is less urgent must not take the places that this one waits for.
                    self._segments_wanted = len(message.numbers)
                    return groups.values()
                run = source.runs[0]
                if source.delayed and run.restricted:
                    break
                count = self._allowed(source, run, room // len(message.numbers), now)
                if count <= 0:
                    break
                recorded_at = run.recorded_at
                jobs, offsets = self._cut(source, count)
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

    def _collect_aside(
        self,
        source: Source[Token],
        account: str,
        session: str,
        *,
        room: int,
        now: int,
        groups: dict[tuple[int, int], Group],
    ) -> int:
        """Take those that were set aside and this session may take; the room that is left."""
        for run in tuple(source.aside):
            if not self._delayed.may_take(run, session, account):
                continue
            message = self._assessor.assess_aside(source, run, now)
            if message is None:
                continue
            if room < len(message.numbers):
                self._segments_wanted = max(self._segments_wanted, len(message.numbers))
                continue
            count = self._allowed(source, run, room // len(message.numbers), now)
            if count > 0:
                jobs, offsets = self._cut(source, count, run)
                # Not with others of the message, whose offsets may be higher; a run that is used up has no identity.
                groups[id(source), -1 - offsets[0]] = Group(source, message, 0, jobs, offsets)
                room -= count * len(message.numbers)
        return room

    def _write_aside(self, binds: AccountBinds, session: Session[Token], now: int) -> None:
        """Write only what was set aside, because the accounts whose turn it is may not take it."""
        room = self._room_on(binds, session, self._share_of(binds.account))
        account = binds.account.name
        self._segments_wanted = 0
        groups: dict[tuple[int, int], Group] = {}
        for source in self._ordered(now):
            if source.aside and room > 0:
                room = self._collect_aside(source, account, session.identity, room=room, now=now, groups=groups)
        for group in groups.values():
            self._write(binds, session, group, now)
        if session.room < self._segments_wanted:
            session.await_room(self._segments_wanted)

    def _cut(self, source: Source[Token], count: int, run: Run | None = None) -> tuple[list[Job], list[int]]:
        jobs, offsets = source.cut(count, run)
        if source.progress.marked(offsets[0]):
            self._mark_duplicates(source, jobs, offsets)
        return jobs, offsets

    def _ordered(self, now: int) -> list[Source[Token]]:
        """Sources with something to send, by lane; within a lane they take turns, delayed or not."""
        ready: list[list[Source[Token]]] = [[] for _ in Lane]
        count = len(self.sources)
        for index in range(count):
            source = self.sources[(index + self._turn) % count]
            if source.empty:
                continue
            if source.delayed and not source.aside:
                if not source.caught_up:
                    continue
                if source.runs and source.runs[0].jobs[source.runs[0].start].due_at > now:
                    continue
            ready[LANE_RANK[source.lane]].append(source)
        return list(chain.from_iterable(ready))

    def _allowed(self, source: Source[Token], run: Run, limit: int, now: int) -> int:
        """How many jobs of a run may be taken: due, below the horizon, and within the position's size."""
        count = min(limit, len(run))
        if source.delayed:
            count = self._delayed.before_withdrawn(source, run, run.due(count, now))
        below = run.below(source.progress.allowed)
        if below < count:
            count = below
            self._events.beat_now()
        if count > 0 and not source.progress.fits(count, run.offsets[run.start + count - 1]):
            self._events.beat_now()
            return 0
        return count

    def _mark_duplicates(self, source: Source[Token], jobs: Iterable[Job], offsets: Iterable[int]) -> None:
        for job, offset in zip(jobs, offsets, strict=True):
            if source.progress.marked(offset):
                job.possible_duplicate = True

    def _write(self, binds: AccountBinds, session: Session[Token], group: Group, now: int) -> bool:
        source = group.source
        submission = Submission(
            group.message,
            source.progress,
            source.partition.partition,
            binds.account,
            session.identity,
            now,
            group.recorded_at,
        )
        try:
            count = binds.write(session, submission, group.jobs, group.offsets)
        except PduError as error:
            self._fail_unwritable(group, str(error), now)
            return True
        marked = sum([job.possible_duplicate for job in group.jobs[:count]])
        if marked:
            self._outbox.content.marked[group.message.lane] += marked
        if count < len(group.jobs):
            # TCP held it up in between: what was not taken waits, though later jobs may go first.
            source.put_back(group.jobs[count:], group.offsets[count:])
            source.progress.leave(group.offsets[count:])
        return count > 0

    def _fail_unwritable(self, group: Group, reason: str, now: int) -> None:
        """Fail the jobs of a group whose numbers are no address; the others wait for their next turn."""
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
            self._outbox.add_unsent([job for job, _ in bad], Outcome.FAILED, reason, group.message.lane, now)
            source.progress.settle_unsent([offset for _, offset in bad])
