"""Jobs read ahead, by partition: read by lane, decoded in batches, kept as runs that share alert and text."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Generic, TypeAlias, TypeVar

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from broadcast.clock import epoch_milliseconds
from broadcast.kafka import batches
from broadcast.kafka.batches import RecordDecoder
from broadcast.sending.accounts.health.contents import Content
from broadcast.sending.answers.tokens import Token
from broadcast.sending.answers.unanswered import JobKey, key_of
from broadcast.sending.progress import Progress
from broadcast.sending.rules import JITTER_SHARE
from schemas.job import Job
from schemas.lane import Lane

CATCH_UP_LIMIT: Final = 20_000
"""Jobs of a delay topic held in memory at most until those of before the takeover are read."""

READ_AHEAD: Final = 1_000
"""Jobs of one partition held in memory: enough for the time a fetch takes, and little enough for many partitions."""

T = TypeVar("T")
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"
Poison: TypeAlias = batches.Poison[Record]

decode_jobs = RecordDecoder(Job).decode
_run_key = attrgetter("alert_id", "variant", "text", "segments")
_delayed_run_key = attrgetter(
    "alert_id", "variant", "text", "segments", "session", "refused_by", "unanswered_by", "resends", "withdrawn"
)


class Run:
    """Consecutive jobs with the same alert and text; `start` is the first that is left.

    On a delay topic they also have the same `session`, `refused_by`, `unanswered_by` and number of resends, and are all
    `withdrawn` records or none.
    """

    __slots__ = (
        "alert_id",
        "jobs",
        "offsets",
        "recorded_at",
        "refused_by",
        "resent",
        "segments",
        "session",
        "start",
        "text",
        "unanswered_by",
        "variant",
        "withdrawn",
    )

    def __init__(self, jobs: list[Job], offsets: list[int], recorded_at: int) -> None:
        first = jobs[0]
        self.alert_id: Final = first.alert_id
        self.variant: Final = first.variant
        self.text: Final = first.text
        self.segments: Final = first.segments
        self.session: Final = first.session
        self.refused_by: Final = first.refused_by
        self.resent: Final = first.resends > 0
        self.unanswered_by: Final = first.unanswered_by
        self.withdrawn: Final = first.withdrawn
        self.jobs: Final = jobs
        self.offsets: Final = offsets
        self.recorded_at: Final = recorded_at
        self.start = 0

    def __len__(self) -> int:
        return len(self.jobs) - self.start

    @property
    def restricted(self) -> bool:
        """Whether, on a delay topic, only some sessions may take its jobs."""
        return bool(self.segments or self.refused_by or self.resent)

    @property
    def content(self) -> Content:
        """What all its recipients get."""
        return self.alert_id, self.variant, self.text

    @property
    def first(self) -> int:
        """Offset of the first job left."""
        return self.offsets[self.start]

    def below(self, offset: int) -> int:
        """How many of the jobs left have a lower offset."""
        return bisect_left(self.offsets, offset, self.start) - self.start

    def due(self, limit: int, now: int) -> int:
        """How many of the first `limit` jobs left are due; those behind the first that is not have to wait."""
        for count in range(min(limit, len(self))):
            if self.jobs[self.start + count].due_at > now:
                return count
        return min(limit, len(self))

    def cut(self, count: int) -> tuple[list[Job], list[int]]:
        """Take the first `count` jobs left, with their offsets."""
        start, self.start = self.start, self.start + count
        return self.jobs[start : self.start], self.offsets[start : self.start]


class Source(Generic[T]):
    """One partition: its progress and the jobs that were read ahead.

    On a delay topic no job waits longer than `longest_wait_ms` after its record, whatever it says: all behind it have
    to wait for it. 0 is for topics without a delay. `log_end` is the end of a delay topic at the takeover: a withdrawal
    may lie before it. `aside` has runs that are due, and that only some sessions may take.
    """

    def __init__(
        self,
        partition: TopicPartition,
        lane: Lane,
        progress: Progress[T],
        longest_wait_ms: int = 0,
        log_end: int = 0,
        *,
        now_ms: Callable[[], int] = epoch_milliseconds,
    ) -> None:
        self.partition: Final = partition
        self._now_ms: Final = now_ms
        self.delayed: Final = longest_wait_ms > 0
        self._longest_wait_ms: Final = longest_wait_ms
        self.delay_ms: Final = int(longest_wait_ms / (1 + JITTER_SHARE))
        self.lane: Final = lane
        self.progress: Final = progress
        self.runs: Final[deque[Run]] = deque()
        self.aside: Final[list[Run]] = []
        self.poison: Final[deque[Poison]] = deque()
        self.withdrawn: Final[set[JobKey]] = set()
        self.caught_up = not self.delayed or progress.found.offset >= log_end
        self._log_end: Final = log_end
        self.waiting: Final[dict[str, float]] = {}
        """The alerts whose control record is waited for, and since when on the monotonic clock."""
        self._buffered = 0

    @property
    def wants_more(self) -> bool:
        """Whether to read more."""
        return self._buffered < (READ_AHEAD // 2 if self.caught_up else CATCH_UP_LIMIT)

    def note_position(self, position: int) -> None:
        """All before `position` is read: at the log's end of the takeover, every withdrawal before it is known."""
        self.caught_up = self.caught_up or position >= self._log_end or self._buffered >= CATCH_UP_LIMIT

    def feed(self, records: Sequence[Record]) -> None:
        """Take in records in the order of their offsets; those that have an outcome are left out."""
        lacks = self.progress.lacking([record.offset for record in records])
        if lacks is not None:
            records = [record for record, lacking in zip(records, lacks, strict=True) if lacking]
        jobs, readable, poison = decode_jobs(records)
        self.poison.extend(poison)
        if not jobs:
            return
        offsets = [record.offset for record in readable]
        if self.delayed:
            # A producer sets its records' timestamps, so one may lie far in the future.
            now = self._now_ms()
            latest = {record.offset: min(record.timestamp, now) + self._longest_wait_ms for record in records}
            for job, offset in zip(jobs, offsets, strict=True):
                job.due_at = min(job.due_at, latest[offset])
                if job.withdrawn:
                    self.withdrawn.add(key_of(job))
        recorded_at = records[0].timestamp
        self._buffered += len(jobs)
        start = 0
        for _, group in groupby(jobs, _delayed_run_key if self.delayed else _run_key):
            run = list(group)
            end = start + len(run)
            self.runs.append(Run(run, offsets[start:end], recorded_at))
            start = end

    @property
    def empty(self) -> bool:
        """Whether nothing that was read is left."""
        return not self.runs and not self.poison and not self.aside

    def cut_poison(self) -> Poison | None:
        """The poison before the first job left, if there is one."""
        return self.poison.popleft() if self.poison_first else None

    @property
    def poison_first(self) -> bool:
        """Whether poison comes before the first job left."""
        return bool(self.poison) and not (self.runs and self.runs[0].first < self.poison[0].record.offset)

    def cut(self, count: int, run: Run | None = None) -> tuple[list[Job], list[int]]:
        """Take jobs from a run that was set aside, or from the first run.

        What a sender before this one may have written is marked here, whatever becomes of it.
        """
        first = run is None
        run = run or self.runs[0]
        taken = run.cut(count)
        jobs, offsets = taken
        if jobs and self.progress.marked(offsets[0]):
            for job, offset in zip(jobs, offsets, strict=True):
                job.possible_duplicate = job.possible_duplicate or self.progress.marked(offset)
        if not run and first:
            self.runs.popleft()
        elif not run:
            self.aside.remove(run)
        self._buffered -= count
        return taken

    def bring_first(self, run: Run) -> None:
        """Let a run come up before those that it is behind, which have no outcome yet."""
        for each in self.runs:
            if each is run:
                break
            self.progress.leave(each.offsets[each.start :])
        self.runs.remove(run)
        self.runs.appendleft(run)

    def note_waiting(self, alert_id: str, now: float) -> None:
        """Jobs of this alert wait for its control record, since `now` if they did not before.

        Alerts without a job in memory are forgotten: there are never more entries than jobs that were read ahead.
        """
        if alert_id not in self.waiting:
            left = {run.alert_id for run in self.runs}.union(run.alert_id for run in self.aside)
            for gone in self.waiting.keys() - left:
                del self.waiting[gone]
            self.waiting[alert_id] = now

    def set_aside(self, count: int) -> None:
        """Set jobs of the first run aside, so that those behind them need not wait."""
        jobs, offsets = self.cut(count)
        self.progress.leave(offsets)
        self.aside.append(Run(jobs, offsets, 0))
        self._buffered += count

    def put_back(self, jobs: list[Job], offsets: list[int]) -> None:
        """Jobs that were cut and are to come up again."""
        self.runs.appendleft(Run(jobs, offsets, 0))
        self._buffered += len(jobs)


Sources: TypeAlias = Mapping[TopicPartition, Source[Token]]
"""The partitions that the group has given to this sender, while it has taken them over."""
