"""When requests without a valid key are answered: one at a time, for a share of the event loop's time. No I/O."""

from collections import deque
from typing import Generic, TypeVar

from broadcast.api.connections.key_turns import OUTSIDE_SECONDS

PAUSE_FACTOR = 4
"""After one took t seconds, none is answered for four times t: all of them have a fifth of the time."""

WAITING_MAX = 64
"""Requests that wait for their turn; one more ends the oldest of the address that has most."""

W = TypeVar("W")


class AnonymousTurns(Generic[W]):
    """Who waits, by address, and who is next: addresses take turns, and of one address the oldest is first.

    Times are seconds of a clock that never goes back.
    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._addresses: dict[str, deque[W]] = {}
        self._waiting = 0
        self._in_turn = False
        self._next_at = float("-inf")

    def __len__(self) -> int:
        return self._waiting

    def wait(self, waiter: W, address: str) -> W | None:
        """Wait for a turn; gives the one that waits no more, where too many do."""
        self._addresses.setdefault(address, deque()).append(waiter)
        self._waiting += 1
        if self._waiting <= self._waiting_max:
            return None
        return self._take(max(self._addresses, key=lambda one: len(self._addresses[one])))

    def begin(self, now: float) -> W | None:
        """The one whose turn begins, if one waits and may begin; `end` must follow."""
        if self._in_turn or not self._addresses or now < self._next_at:
            return None
        self._in_turn = True
        address = next(iter(self._addresses))
        waiter = self._take(address)
        if address in self._addresses:
            self._addresses[address] = self._addresses.pop(address)
        return waiter

    def end(self, now: float, seconds: float) -> None:
        """End the turn, which took `seconds` of processor time."""
        self._in_turn = False
        self._next_at = now + PAUSE_FACTOR * (seconds + OUTSIDE_SECONDS)

    def begins_in(self, now: float) -> float | None:
        """Seconds until the next turn may begin; None if none waits, or one has the turn."""
        if self._in_turn or not self._addresses:
            return None
        return max(self._next_at - now, 0.0)

    def _take(self, address: str) -> W:
        queue = self._addresses[address]
        waiter = queue.popleft()
        self._waiting -= 1
        if not queue:
            del self._addresses[address]
        return waiter
