"""The window of a bind: submits that are written and unanswered, with their deadlines. No clock, no socket."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final, Generic, TypeVar

from broadcast.smpp.codec.pdu import SequenceCounter

T = TypeVar("T")
Response = tuple[T, int, bytes, int]
"""(token, command_status, message id, sequence number) of one answered submit."""

_ABSENT: Final = object()
# So many overdue submits are kept for a late response; the oldest are dropped, and their responses are unexpected.
LATE_LIMIT: Final = 100_000


class Window(Generic[T]):
    """Tokens of unanswered submits by sequence number, at most `limit` of them.

    A token is whatever the caller wants back with the response. Each leaves exactly once: by `settle`, by `expire` or
    by `drain`. One that left by `expire` may be reported a second time, as late, if its response still comes.
    """

    __slots__ = ("_deadlines", "_late", "_pending", "limit", "sequences", "unexpected")

    def __init__(self, limit: int, sequences: SequenceCounter | None = None) -> None:
        if limit < 1:
            raise ValueError(f"window {limit} is not at least 1")
        self.limit = limit
        self.sequences: Final = sequences or SequenceCounter()
        self.unexpected = 0
        self._pending: dict[int, T] = {}
        self._late: dict[int, T] = {}
        self._deadlines: deque[tuple[float, Sequence[int]]] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._pending or sequence in self._late

    @property
    def room(self) -> int:
        """Free places, 0 or more."""
        return max(0, self.limit - len(self._pending))

    def register(
        self, tokens: Sequence[T], deadline: float, in_use: Callable[[int], bool] | None = None
    ) -> Sequence[int]:
        """Give each token a sequence number and a place in the window, before the write. ValueError without room.

        `in_use` says which numbers are in use, if others than those of this window are.
        """
        if len(tokens) > self.room:
            raise ValueError(f"{len(tokens)} submits, but room for {self.room}")
        sequences = self.sequences.take(len(tokens), in_use or self.__contains__)
        self._pending.update(zip(sequences, tokens, strict=True))
        self._deadlines.append((deadline, sequences))
        return sequences

    def settle(
        self, sequences: Sequence[int], statuses: Sequence[int], ids: Sequence[bytes]
    ) -> tuple[list[Response[T]], list[Response[T]]]:
        """Take answered submits out: those in time, and those that came late. Unknown numbers are only counted."""
        pending = self._pending
        before = len(pending)
        tokens = list(map(pending.pop, sequences, repeat(_ABSENT)))
        if before - len(pending) == len(tokens):
            return list(zip(tokens, statuses, ids, sequences, strict=True)), []  # type: ignore[arg-type]
        timely: list[Response[T]] = []
        late: list[Response[T]] = []
        for token, status, message_id, sequence in zip(tokens, statuses, ids, sequences, strict=True):
            if token is not _ABSENT:
                timely.append((token, status, message_id, sequence))  # type: ignore[arg-type]
            elif sequence in self._late:
                late.append((self._late.pop(sequence), status, message_id, sequence))
            else:
                self.unexpected += 1
        return timely, late

    def expire(self, now: float) -> list[T]:
        """Take out what is overdue at `now`. Its places are free again; a late response is still recognised."""
        overdue: list[T] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, sequences = self._deadlines.popleft()
            for sequence in sequences:
                token = self._pending.pop(sequence, _ABSENT)
                if token is not _ABSENT:
                    overdue.append(token)  # type: ignore[arg-type]
                    self._late[sequence] = token  # type: ignore[assignment]
        while len(self._late) > LATE_LIMIT:
            del self._late[next(iter(self._late))]
        return overdue

    def take_unexpected(self) -> int:
        """How many responses belonged to no submit, since the last call."""
        found, self.unexpected = self.unexpected, 0
        return found

    def drain(self) -> list[T]:
        """Take out everything, when the link has ended."""
        tokens = list(self._pending.values())
        self._pending.clear()
        self._late.clear()
        self._deadlines.clear()
        return tokens
