"""When requests with a key begin: keys share the event loop's time, for reads and for alerts. No I/O."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

READS_AT_ONCE: Final = 2
"""Reads of one key that are in work: more would take the connections to PostgreSQL from other keys."""

OUTSIDE_SECONDS: Final = 0.001
"""Processor time of one request that is not measured: accepting, parsing, and sending."""

FIRST_SECONDS: Final = 0.005
"""What the first request of a key is expected to cost."""

W = TypeVar("W")


class Kind(StrEnum):
    """What a request asks for. A read does not delay an alert of the same key."""

    READ = "read"
    ALERT = "alert"


SHARES: Final = {Kind.READ: 4, Kind.ALERT: 2}
"""Of each kind, all keys together have one second of processor time in so many; stops need no turn."""

Flow = tuple[str, Kind]


@dataclass(slots=True)
class _State(Generic[W]):
    waiting: deque[W] = field(default_factory=deque)
    in_work: int = 0
    next_at: float = float("-inf")
    expected: float = FIRST_SECONDS


class KeyTurns(Generic[W]):
    """Who waits, by key and kind, the oldest first, and when the next of each may begin.

    While n keys are active with its kind, a request that takes t seconds of processor time delays the next of its flow
    by n × t × the share of its kind. What it will take is expected from those before, and put right at its end. Times
    are seconds of a clock that never goes back.
    """

    def __init__(self) -> None:
        self._flows: dict[Flow, _State[W]] = {}

    def __len__(self) -> int:
        return sum(len(state.waiting) for state in self._flows.values())

    def wait(self, waiter: W, flow: Flow) -> None:
        """Wait for a turn."""
        self._flows.setdefault(flow, _State()).waiting.append(waiter)

    def begin(self, now: float) -> list[tuple[Flow, W]]:
        """Those whose turns begin at `now`; `end` must follow for each."""
        begun = []
        for flow, state in self._flows.items():
            if _has_room(flow, state) and now >= state.next_at:
                begun.append((flow, state.waiting.popleft()))
                state.in_work += 1
                state.next_at = now + self._pause(flow, state.expected)
        return begun

    def end(self, flow: Flow, now: float, seconds: float) -> None:
        """End a turn, which took `seconds` of processor time."""
        state = self._flows[flow]
        cost = seconds + OUTSIDE_SECONDS
        state.next_at += self._pause(flow, cost - state.expected)
        state.expected = (state.expected + cost) / 2
        state.in_work -= 1
        for idle in [name for name, each in self._flows.items() if not _is_active(each) and now >= each.next_at]:
            del self._flows[idle]

    def begins_in(self, now: float) -> float | None:
        """Seconds until a next turn may begin; None if nobody waits who need not wait for an end."""
        found = [state.next_at for flow, state in self._flows.items() if _has_room(flow, state)]
        return max(min(found) - now, 0.0) if found else None

    def _pause(self, flow: Flow, seconds: float) -> float:
        active = sum(name[1] is flow[1] and _is_active(state) for name, state in self._flows.items())
        return SHARES[flow[1]] * active * seconds


def _is_active(state: _State[W]) -> bool:
    return bool(state.waiting or state.in_work)


def _has_room(flow: Flow, state: _State[W]) -> bool:
    return bool(state.waiting) and (flow[1] is not Kind.READ or state.in_work < READS_AT_ONCE)
