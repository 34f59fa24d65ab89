"""How far a sender has come on one partition of jobs. Pure: offsets and tokens in, positions out.

What was taken, what has an outcome, and below which offset jobs may be written (docs/sender.md).
"""

from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

from broadcast.kafka.position import METADATA_LIMIT, Position, longest_metadata

T = TypeVar("T")

LEAD_LOWEST: Final = 64
"""Offsets that the horizon lies ahead at least, even beyond the log's end: an urgent job need not wait for a beat."""

LEAD_BEATS: Final = 3
"""Beats of the current rate that the horizon lies ahead."""

_SPAN_HARMLESS: Final = 4_000  # any choice among so few offsets takes at most a bit each


class Progress(Generic[T]):
    """What `owner` has done on a partition since it took over at `found`.

    A job is `known` once it was read and found to lack an outcome, `take`n when it is written or decided, and
    `settle`d when its outcome goes into the next beat. `allowed` is the offset below which jobs may be written: no
    position that the broker may hold has a lower horizon.
    """

    def __init__(self, found: Position, owner: str) -> None:
        self.owner: Final = owner
        self.found: Final = found
        self.end = found.end
        self.allowed = found.offset
        self.pending: dict[int, T | None] = dict.fromkeys(found.pending)
        self._unread = set(found.pending)
        self._marks_below = found.horizon
        self._marks_closed = found.horizon <= found.offset
        self._proposed: Position | None = None
        self._committed = found
        self._taken = 0
        self._lead = LEAD_LOWEST
        self._changed = True

    def lacking(self, offsets: Sequence[int]) -> list[bool] | None:
        """Which of the offsets just read have no outcome; None stands for all of them.

        It is None for records behind all that was taken before the takeover.
        """
        if not self._unread and offsets[0] >= self.found.end:
            return None
        lacks = [offset >= self.found.end or offset in self._unread for offset in offsets]
        self._unread.difference_update(offsets)
        if offsets[-1] >= self.found.end:
            self._drop_gaps()
        return lacks

    def marked(self, offset: int) -> bool:
        """Whether a sender before this one may have written the job."""
        return offset < self._marks_below

    def close_marks(self, log_end: int) -> None:
        """No sender before this one can have read jobs from `log_end` on: those are not marked."""
        self._marks_below = min(self._marks_below, log_end)
        self._marks_closed = self._changed = True

    @property
    def marks_open(self) -> bool:
        """Whether `close_marks` is still wanted."""
        return not self._marks_closed

    def fits(self, count: int, offset: int) -> bool:
        """Whether the metadata keeps its size when `count` more jobs up to `offset` are taken and none is answered."""
        span = offset - self._committed.offset
        if span < _SPAN_HARMLESS:
            return True
        return longest_metadata(len(self.pending) + count, span, self.owner) < METADATA_LIMIT

    def take(self, offsets: Sequence[int], tokens: Iterable[T]) -> None:
        """These jobs, ascending and known, are written now (or decided): they have no outcome yet."""
        self.pending.update(zip(offsets, tokens, strict=True))
        self.end = max(self.end, offsets[-1] + 1)
        self._taken += len(offsets)
        self._changed = True

    def leave(self, offsets: Sequence[int]) -> None:
        """These jobs were not taken, though later ones may be: they have no outcome."""
        self.pending.update(dict.fromkeys(offsets))
        self.end = max(self.end, offsets[-1] + 1)
        self._changed = True

    def renew(self, offset: int, token: T) -> None:
        """A job that has no outcome yet was written again, with another token."""
        self.pending[offset] = token

    def settle(self, offset: int) -> T | None:
        """The job's outcome goes into the next beat; None when it had one already, or was never taken."""
        self._changed = True
        return self.pending.pop(offset, None)

    def settle_unsent(self, offsets: Sequence[int]) -> None:
        """These jobs, ascending, get their outcome without a submit."""
        for offset in offsets:
            self.pending.pop(offset, None)
        self.skip_to(offsets[-1] + 1)

    def skip_to(self, offset: int) -> None:
        """No record below `offset` is left to read or to take: what lies before it is done."""
        if offset >= self.found.end:
            self._drop_gaps()
        if offset > self.end:
            self.end = offset
            self._changed = True

    def unanswered(self) -> list[T]:
        """The tokens of jobs that were taken and have no outcome, oldest first."""
        return [token for token in self.pending.values() if token is not None]

    @property
    def recovering(self) -> bool:
        """Whether a job below the horizon that it found may still lack an outcome."""
        if self.end < self._marks_below or not self._marks_closed:
            return True
        return bool(self.pending) and self._first < self._marks_below

    def propose(self) -> Position:
        """The position for the beat that begins now.

        Until it is confirmed, `allowed` is the lower horizon of this and the one before. The horizon is never below
        the one it found while a job below that has no outcome.
        """
        self._lead = max(LEAD_LOWEST, LEAD_BEATS * self._taken, self._lead * 7 // 8)
        self._taken = 0
        self._changed = False
        horizon = self.end + self._lead
        if self.recovering:
            horizon = max(horizon, self.found.horizon)
        position = self._at(horizon, self.owner)
        self.allowed = min(self.allowed, horizon)
        self._proposed = position
        return position

    def release(self) -> Position:
        """The last position, when nothing is in doubt: without an owner.

        Its horizon is its first job without an outcome, unless jobs below the one it found still have none.
        ValueError while a submit has no outcome: the next sender would send it again without a mark.
        """
        if unanswered := len(self.unanswered()):
            raise ValueError(f"{unanswered} jobs are submitted and unanswered; settle them before the release")
        first = self._first
        horizon = max(first, self.found.horizon) if self.recovering else first
        position = self._at(horizon, "")
        self.allowed = min(self.allowed, first)
        self._proposed = position
        return position

    def confirm(self) -> None:
        """The beat with the proposed position has succeeded."""
        if self._proposed is not None:
            self._committed, self._proposed = self._proposed, None
            self.allowed = self._committed.horizon if self._committed.owner else self.allowed

    @property
    def committed(self) -> Position:
        """The position of the last successful beat."""
        return self._committed

    @property
    def changed(self) -> bool:
        """Whether the next position would say more than the one before, or leave less to be marked."""
        return self._changed or self._lead > LEAD_LOWEST or self.end + LEAD_LOWEST > self._committed.horizon

    @property
    def _first(self) -> int:
        return min(self.pending) if self.pending else self.end

    def _at(self, horizon: int, owner: str) -> Position:
        pending = tuple(sorted(self.pending))
        return Position(pending[0] if pending else self.end, self.end, pending, horizon, owner)

    def _drop_gaps(self) -> None:
        # Offsets it found without an outcome that the log does not have (any more) will never get one.
        for offset in self._unread:
            self.pending.pop(offset, None)
            self._changed = True
        self._unread.clear()
