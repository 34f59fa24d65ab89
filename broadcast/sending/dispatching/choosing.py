"""Which jobs are the next ones, by lane, and how many of them may be written now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from broadcast.sending.accounts.fallback_route import FallbackRoute
from broadcast.sending.answers.tokens import Token
from broadcast.sending.dispatching.assessing import UNSENT_LIMIT, JobAssessor
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.messages import LANE_RANK, Message
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.sources import Run, Source
from schemas.job import Job
from schemas.lane import Lane


@dataclass(slots=True)
class Group:
    """Jobs of one source and message, about to be written together."""

    source: Source[Token]
    message: Message
    recorded_at: int
    jobs: list[Job]
    offsets: list[int]


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

    def collect(self, account: str, session: str, room: int, now: int, *, probing: bool = False) -> Iterable[Group]:
        """Take jobs to write, in order, of as many segments as there is room for.

        A probe takes at most half of its room of one message: another message may be accepted where the first is not.
        """
        self.segments_wanted = 0
        groups: dict[tuple[int, int], Group] = {}
        probed: Counter[int] = Counter()
        most = (room + 1) // 2 if probing else room
        for source in self.ordered(now):
            if source.delayed:
                self._delayed.sort_out(source, now)
                if source.aside:
                    self._delayed.take_back(source, now)
                    room = self._take_aside(source, account, session, room=room, now=now, groups=groups)
            while room > 0:
                message = self._assessor.next_message(source, now)
                if message is None:
                    break
                if room < len(message.numbers):
                    # What is less urgent must not take the places that this one waits for.
                    self.segments_wanted = len(message.numbers)
                    return groups.values()
                run = source.runs[0]
                if source.delayed and run.restricted:
                    break
                limit = room // len(message.numbers)
                if probing:
                    limit = min(limit, -(-(most - probed[id(message)]) // len(message.numbers)))
                count = self._allowed(source, run, limit, now) if limit > 0 else 0
                if count <= 0:
                    break
                if probing:
                    probed[id(message)] += count * len(message.numbers)
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

    def collect_aside(self, account: str, session: str, room: int, now: int) -> Iterable[Group]:
        """Take jobs to write of those only that were set aside."""
        self.segments_wanted = 0
        groups: dict[tuple[int, int], Group] = {}
        for source in self.ordered(now):
            if source.aside and room > 0:
                room = self._take_aside(source, account, session, room=room, now=now, groups=groups)
        return groups.values()

    def _take_aside(
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
                self.segments_wanted = max(self.segments_wanted, len(message.numbers))
                continue
            count = self._allowed(source, run, room // len(message.numbers), now)
            if count > 0:
                jobs, offsets = self._cut(source, count, run)
                # Not with others of the message, whose offsets may be higher; a run that is used up has no identity.
                groups[id(source), -1 - offsets[0]] = Group(source, message, 0, jobs, offsets)
                room -= count * len(message.numbers)
        return room

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
        jobs, offsets = self._cut(source, count, run)
        fallback.take(jobs, message.lane)
        source.progress.settle_unsent(offsets)
        return len(jobs)

    def _cut(self, source: Source[Token], count: int, run: Run | None = None) -> tuple[list[Job], list[int]]:
        jobs, offsets = source.cut(count, run)
        if source.progress.marked(offsets[0]):
            self._mark_duplicates(source, jobs, offsets)
        return jobs, offsets

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

    def _mark_duplicates(self, source: Source[Token], jobs: Iterable[Job], offsets: Iterable[int]) -> None:
        for job, offset in zip(jobs, offsets, strict=True):
            if source.progress.marked(offset):
                job.possible_duplicate = True
