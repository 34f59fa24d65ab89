"""The window of a bind: the submits that the SMSC has not answered. No clock, no socket."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import repeat
from typing import Final, Generic, TypeVar

from broadcast.smpp.codec.pdu import LAST, SequenceCounter

T = TypeVar("T")
Response = tuple[T, int, bytes, int]
"""(token, command_status, message id, sequence number) of one answered submit."""

_ABSENT: Final = object()
# Times of writing are kept so many times in each response timeout: a submit is at most that much later overdue.
MARKS_PER_TIMEOUT: Final = 256
SMALL_WINDOW_GIVEN_UP: Final = 8
REFUSALS_LIMIT: Final = 2_000
"""Refused submits of which a second answer is known; of more the newest are not."""


def is_after(sequence: int, other: int) -> bool:
    """Whether a sequence number was taken after another one, also across the wrap from 0x7FFFFFFF to 1."""
    return 0 < (sequence - other) % LAST <= LAST // 2


def limit_given_up(window: int) -> int:
    """The most submits of a session that may be given up and unanswered at once.

    A quarter of its window; where that is less than 8, the smaller of 8 and half of the window.
    """
    return max(window // 4, min(SMALL_WINDOW_GIVEN_UP, window // 2))


class Window(Generic[T]):
    """Tokens of unanswered submits by sequence number, at most `limit` of them.

    A token is whatever the caller wants back with the response. Each leaves exactly once: by `settle`, by `give_up` or
    by `drain`. One that left by `give_up` keeps its place until `settle` reports it a second time, as late.
    """

    __slots__ = (
        "_answered",
        "_answers",
        "_given_up",
        "_late",
        "_marks",
        "_overdue",
        "_pending",
        "_refused",
        "_refused_before",
        "_refused_since",
        "_second",
        "limit",
        "sequences",
        "unexpected",
    )

    def __init__(self, limit: int, sequences: SequenceCounter | None = None) -> None:
        if limit < 1:
            raise ValueError(f"window {limit} is not at least 1")
        self.limit = limit
        self.sequences: Final = sequences or SequenceCounter()
        self.unexpected = 0
        self._answers = self._late = 0
        # Both in the order of writing.
        self._pending: dict[int, T] = {}
        self._given_up: dict[int, T] = {}
        # Refused within the response timeout, and in the one before; accepted by a second answer.
        self._refused: dict[int, T] = {}
        self._refused_before: dict[int, T] = {}
        self._refused_since = 0.0
        self._second: list[Response[T]] = []
        # (when, the newest pending submit then); the newest submit that is overdue; the newest that was answered.
        self._marks: deque[tuple[float, int]] = deque()
        self._overdue: int | None = None
        self._answered: int | None = None

    def __len__(self) -> int:
        return len(self._pending) + len(self._given_up)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._pending or sequence in self._given_up

    @property
    def room(self) -> int:
        """Free places, 0 or more."""
        return max(0, self.limit - len(self._pending) - len(self._given_up))

    @property
    def tokens(self) -> Collection[T]:
        """Of the submits without an answer that are not given up, the oldest first."""
        return self._pending.values()

    @property
    def pending(self) -> int:
        """Submits without an answer that are not given up."""
        return len(self._pending)

    @property
    def given_up(self) -> int:
        """Submits that were given up, and still have no answer."""
        return len(self._given_up)

    def register(self, tokens: Sequence[T], in_use: Callable[[int], bool] | None = None) -> Sequence[int]:
        """Give each token a sequence number and a place in the window, before the write. ValueError without room.

        `in_use` says which numbers are in use, if others than those of this window are.
        """
        if len(tokens) > self.room:
            raise ValueError(f"{len(tokens)} submits, but room for {self.room}")
        sequences = self.sequences.take(len(tokens), in_use or self.__contains__)
        self._pending.update(zip(sequences, tokens, strict=True))
        return sequences

    def settle(
        self, sequences: Sequence[int], statuses: Sequence[int], ids: Sequence[bytes]
    ) -> tuple[list[Response[T]], list[Response[T]]]:
        """Take answered submits out: those in time, and those that came late.

        One that was refused and is accepted then is for `take_second`. All other numbers are only counted.
        """
        pending = self._pending
        before = len(pending)
        tokens = list(map(pending.pop, sequences, repeat(_ABSENT)))
        if before - len(pending) == len(tokens):
            if tokens:
                self._note_answered(max(sequences))
                self._count_answers(sequences)
                if any(statuses):
                    self._keep_refused(sequences, statuses, tokens)  # type: ignore[arg-type]
            return list(zip(tokens, statuses, ids, sequences, strict=True)), []  # type: ignore[arg-type]
        timely: list[Response[T]] = []
        late: list[Response[T]] = []
        for token, status, message_id, sequence in zip(tokens, statuses, ids, sequences, strict=True):
            if token is not _ABSENT:
                timely.append((token, status, message_id, sequence))  # type: ignore[arg-type]
                self._note_answered(sequence)
                self._keep_refused([sequence], [status], [token])  # type: ignore[list-item]
            elif sequence in self._given_up:
                late.append((self._given_up.pop(sequence), status, message_id, sequence))
                self._keep_refused([sequence], [status], [late[-1][0]])
            elif not status and sequence in self._refused:
                self._second.append((self._refused.pop(sequence), status, message_id, sequence))
            elif not status and sequence in self._refused_before:
                self._second.append((self._refused_before.pop(sequence), status, message_id, sequence))
            else:
                self.unexpected += 1
        self._count_answers([sequence for *_, sequence in timely])
        self._answers += len(late)
        self._late += len(late)
        return timely, late

    def give_up(self, now: float, timeout_seconds: float) -> list[T]:
        """Give up what is older than the timeout and was written before a submit that has been answered.

        Called regularly, because ages are counted from the first call after the write. The places stay taken.
        """
        self._mark(now, timeout_seconds)
        if now - self._refused_since >= timeout_seconds:
            self._refused_before, self._refused, self._refused_since = self._refused, {}, now
        if self._overdue is None or self._answered is None:
            return []
        end = self._overdue if is_after(self._answered, self._overdue) else self._answered
        overdue: list[int] = []
        for sequence in self._pending:
            if is_after(sequence, end):
                break
            overdue.append(sequence)
        tokens = [self._pending.pop(sequence) for sequence in overdue]
        self._given_up.update(zip(overdue, tokens, strict=True))
        return tokens

    def take_answers(self) -> tuple[int, int]:
        """How many submits were answered since the last call, and how many of them after the response timeout."""
        counts, self._answers, self._late = (self._answers, self._late), 0, 0
        return counts

    def take_second(self) -> list[Response[T]]:
        """Submits that were refused and are accepted by a second answer, since the last call."""
        if not self._second:
            return []
        found, self._second = self._second, []
        return found

    def take_unexpected(self) -> int:
        """How many responses belonged to no submit, since the last call."""
        found, self.unexpected = self.unexpected, 0
        return found

    def drain(self) -> list[T]:
        """Take out everything, when the link has ended; what was given up is not reported again."""
        tokens = list(self._pending.values())
        self._pending.clear()
        self._given_up.clear()
        self._marks.clear()
        self._refused.clear()
        self._refused_before.clear()
        return tokens

    def _keep_refused(self, sequences: Sequence[int], statuses: Sequence[int], tokens: Sequence[T]) -> None:
        for sequence, status, token in zip(sequences, statuses, tokens, strict=True):
            if status and len(self._refused) < REFUSALS_LIMIT:
                self._refused[sequence] = token

    def _note_answered(self, sequence: int) -> None:
        if self._answered is None or is_after(sequence, self._answered):
            self._answered = sequence

    def _count_answers(self, sequences: Sequence[int]) -> None:
        overdue = self._overdue
        self._answers += len(sequences)
        if overdue is not None and sequences and not is_after(min(sequences), overdue):
            self._late += sum(not is_after(sequence, overdue) for sequence in sequences)

    def _mark(self, now: float, timeout_seconds: float) -> None:
        """Note what is pending at `now`, and find what was already pending a timeout ago."""
        marks = self._marks
        if not self._pending:
            # What is written from now on was not overtaken by anything before it.
            marks.clear()
            self._overdue = self._answered = None
            return
        while marks and marks[0][0] <= now - timeout_seconds:
            self._overdue = marks.popleft()[1]
        if not marks or now - marks[-1][0] >= timeout_seconds / MARKS_PER_TIMEOUT:
            marks.append((now, next(reversed(self._pending))))
