"""Which jobs are written next, to which session, and which get an outcome without being sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.routing import Account
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.fallback_route import FallbackRoute
from broadcast.sending.accounts.health.breaker import State
from broadcast.sending.accounts.route_accounts import RouteAccounts
from broadcast.sending.answers.throttled import Throttled
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.dispatching.assessing import JobAssessor
from broadcast.sending.dispatching.choosing import JobChooser
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.dispatching.taking import Group
from broadcast.sending.outbox import Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Source
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.template import DESTINATION_LIMIT, SubmitTemplate
from broadcast.smpp.session import Session
from schemas.job import Job
from schemas.status import Outcome

log = structlog.get_logger(__name__)


class Dispatch:
    """Works through `sources`, the most urgent lane first, as far as window, in-doubt limit and horizon allow.

    `sources` are those that may be written to sessions: empty between a takeover and its first beat.
    """

    def __init__(
        self,
        *,
        accounts: RouteAccounts,
        assessor: JobAssessor,
        delayed: DelayedJobs,
        settlement: Settlement,
        outbox: Outbox,
        in_doubt_limit: int,
        events: SenderEvents,
        fallback: FallbackRoute | None = None,
    ) -> None:
        self._accounts: Final = accounts
        self._assessor: Final = assessor
        self._delayed: Final = delayed
        self._settlement: Final = settlement
        self._outbox: Final = outbox
        self._limit: Final = in_doubt_limit
        self._events: Final = events
        self._fallback: Final = fallback
        self._chooser: Final = JobChooser(assessor, delayed, events)

    @property
    def sources(self) -> Sequence[Source[Token]]:
        """The partitions with jobs for sessions."""
        return self._chooser.sources

    @sources.setter
    def sources(self, sources: Sequence[Source[Token]]) -> None:
        self._chooser.sources = sources

    def write_ready(self) -> None:
        """Write what may be written; cheap when there is nothing to do."""
        if not self.sources or not self._events.may_write():
            return
        now = epoch_milliseconds()
        self._chooser.next_turn()
        sessions = list(self._accounts.sessions())
        others = list(self._accounts.other_sessions())
        self._delayed.sessions = {session.identity: binds.account.name for binds, session in (*sessions, *others)}
        self._delayed.accounts = {binds.account.name: binds for binds, _ in (*sessions, *others)}
        self._settlement.keep_throttled(self._delayed.sessions, now)
        shares = [self._share_of(binds.account) for binds, _ in sessions]
        # On every session, also where no new job is left for it.
        throttled = [self._write_throttled(binds, session, now) for binds, session in sessions]
        for (binds, session), share, left in zip(sessions, shares, throttled, strict=True):
            if left:
                continue
            room = self._room_on(binds, session, share)
            if room <= 0:
                if session.room < 1:
                    session.await_room()
                continue
            probe = None if binds.breaker.state is State.CLOSED else binds.breaker.probe
            written = False
            for group in self._chooser.collect(binds.account.name, session.identity, room, now, probe=probe):
                written = self._write(binds, session, group, now) or written
            wanted = self._chooser.segments_wanted
            if session.room < wanted:
                session.await_room(wanted)
            elif not wanted and not written and not any(source.aside for source in self.sources):
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
            if self._fallback is not None and self._fallback.is_due(self._accounts.unusable_since, monotonic()):
                self._chooser.reroute(self._fallback, now)

    def _share_of(self, account: Account) -> int:
        """The part of the in-doubt limit of one bind: one that answers nothing must not stop the others."""
        binds = len(self._accounts.in_force) * account.submitting_binds
        return max(self._limit // binds, self._assessor.highest_segments)

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
            if submission.message.expires_at <= now or not self._assessor.may_go_again(job, now):
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

    def _write_aside(self, binds: AccountBinds, session: Session[Token], now: int) -> None:
        """Write only what was set aside, because the accounts whose turn it is may not take it."""
        room = self._room_on(binds, session, self._share_of(binds.account))
        probe = None if binds.breaker.state is State.CLOSED else binds.breaker.probe
        for group in self._chooser.collect_aside(binds.account.name, session.identity, room, now, probe=probe):
            self._write(binds, session, group, now)
        if session.room < self._chooser.segments_wanted:
            session.await_room(self._chooser.segments_wanted)

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
