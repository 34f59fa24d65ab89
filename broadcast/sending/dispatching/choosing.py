"""Which jobs are the next ones, by lane, and how many of them may be written now."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from broadcast.sending.accounts.fallback_route import FallbackRoute
from broadcast.sending.accounts.health.probe import Probe, ProbeShares
from broadcast.sending.answers.tokens import Token
from broadcast.sending.dispatching.assessing import UNSENT_LIMIT, JobAssessor
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.dispatching.taking import Group, Taking
from broadcast.sending.messages import LANE_RANK, Message
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.sources import Run, Source
from schemas.lane import Lane


class JobChooser:
    """Takes jobs out of `sources`, the most urgent lane first, as far as a session may have them.

    `sources` are those that may be written to sessions. `segments_wanted` is the size of the message for which the last
    `collect` or `collect_aside` had too little room; 0 when there was none.
    """

    def __init__(self, assessor: JobAssessor, delayed: DelayedJobs, events: SenderEvents) -> None:
        self.sources: Sequence[Source[Token]] = ()
        self.segments_wanted = 0
        self._assessor: Final = assessor
        self._delayed: Final = delayed
        self._events: Final = events
        self._turn = 0

    def next_turn(self) -> None:
        """Begin with the next source of each lane from now on."""
        self._turn += 1

    def collect(
        self, account: str, session: str, room: int, now: int, *, probe: Probe | None = None
    ) -> Iterable[Group]:
        """Take jobs to write, in order, of as many segments as there is room for.

        A `probe` takes some of each message, as far as there are several: one may be accepted where another is not.
        """
        taking = Taking(account, session, room, now, None if probe is None else ProbeShares(probe, room))
        self._collect(taking)
        if taking.shares is not None and taking.shares.avoiding and not self.segments_wanted:
            taking.shares.avoid_none()
            self._collect(taking)
        return taking.groups.values()

    def _collect(self, taking: Taking) -> None:
        self.segments_wanted = 0
        now, shares = taking.now, taking.shares
        for source in self.ordered(now):
            if source.delayed:
                self._delayed.sort_out(source, now)
            if source.aside:
                if source.delayed:
                    self._delayed.take_back(source, now)
                self._take_aside(source, taking)
            while taking.room > 0:
                message = self._assessor.next_message(source, now)
                if message is None:
                    break
                if message.control.account not in {"", taking.account}:
                    if self._set_aimed_aside(source, now):
                        continue
                    break
                segments = len(message.numbers)
                if taking.room < segments:
                    # What is less urgent must not take the places that this one waits for.
                    self.segments_wanted = segments
                    return
                run = source.runs[0]
                if source.delayed and run.restricted:
                    break
                limit = taking.room // segments if shares is None else taking.limit(run, segments)
                if not limit and self._bring_other(source, taking):
                    continue
                count = self._allowed(source, run, limit, now) if limit else 0
                if count <= 0:
                    break
                if shares is not None:
                    shares.take(run.content, count * segments)
                recorded_at = run.recorded_at
                jobs, offsets = source.cut(count)
                group = taking.groups.get((id(source), id(message)))
                if group is None:
                    taking.groups[id(source), id(message)] = Group(source, message, recorded_at, jobs, offsets)
                else:
                    group.jobs += jobs
                    group.offsets += offsets
                taking.room -= count * segments
            if taking.room <= 0:
                break

    def collect_aside(
        self, account: str, session: str, room: int, now: int, *, probe: Probe | None = None
    ) -> Iterable[Group]:
        """Take jobs to write of those only that were set aside."""
        self.segments_wanted = 0
        taking = Taking(account, session, room, now, None if probe is None else ProbeShares(probe, room))
        for source in self.ordered(now):
            if source.aside and taking.room > 0:
                self._take_aside(source, taking)
        return taking.groups.values()

    def _take_aside(self, source: Source[Token], taking: Taking) -> None:
        """Take those that were set aside and this session may take."""
        for run in tuple(source.aside):
            if not self._delayed.may_take(run, taking.session, taking.account):
                continue
            message = self._assessor.assess_aside(source, run, taking.now)
            if message is None or message.control.account not in {"", taking.account}:
                continue
            segments = len(message.numbers)
            if taking.room < segments:
                self.segments_wanted = max(self.segments_wanted, segments)
                continue
            limit = taking.limit(run, segments)
            count = self._allowed(source, run, limit, taking.now) if limit else 0
            if count > 0:
                if taking.shares is not None:
                    taking.shares.take(run.content, count * segments)
                jobs, offsets = source.cut(count, run)
                # Not with others of the message, whose offsets may be higher; a run that is used up has no identity.
                taking.groups[id(source), -1 - offsets[0]] = Group(source, message, 0, jobs, offsets)
                taking.room -= count * segments

    def _set_aimed_aside(self, source: Source[Token], now: int) -> bool:
        """Set test messages aside that only another account may take, so that they hold up nobody; whether it did."""
        run = source.runs[0]
        count = len(run)
        if source.delayed:
            if run.restricted:
                return False
            count = self._delayed.before_withdrawn(source, run, run.due(count, now))
        if not count or not source.progress.fits(count, run.offsets[run.start + count - 1]):
            return False
        source.set_aside(count)
        return True

    def _bring_other(self, source: Source[Token], taking: Taking) -> bool:
        """Let another message of a source come up, of which a probe may take some; whether there is one."""
        ahead = 0
        for run in source.runs:
            if taking.limit(run, 1) and run.jobs[run.start].due_at <= taking.now:
                if run.withdrawn or (source.delayed and run.restricted):
                    return False
                if not source.progress.fits(ahead, run.first):
                    self._events.beat_now()
                    return False
                source.bring_first(run)
                return True
            ahead += len(run)
        return False

    def reroute(self, fallback: FallbackRoute, now: int) -> None:
        """Give jobs that are due to the fallback route, as many as one beat bears; those on sessions stay."""
        left = UNSENT_LIMIT
        for source in self.ordered(now):
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
        jobs, offsets = source.cut(count, run)
        fallback.take(jobs, message.lane)
        source.progress.settle_unsent(offsets)
        return len(jobs)

    def ordered(self, now: int) -> list[Source[Token]]:
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
