"""When requests with a key begin: keys share the event loop's time, for reads and for alerts. No I/O."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

READS_AT_ONCE: Final = 2
"""Reads of one key that are in work: more would take the connections to PostgreSQL from other keys."""

OUTSIDE_SECONDS: Final = 0.001
"""Processor time of one request that is not measured: accepting, parsing, and sending."""

FIRST_SECONDS: Final = 0.005
"""Processor time that the first request of a key is expected to take."""

W = TypeVar("W")


class Kind(StrEnum):
    """What a request asks for. A read does not delay an alert of the same key."""

    READ = "read"
    ALERT = "alert"


SHARES: Final = {Kind.READ: 4, Kind.ALERT: 2}
"""Of each kind, all keys together have one second of processor time in so many; stops need no turn."""

Flow = tuple[str, Kind]
"""The name of a key, and a kind: the requests that wait for each other."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a turn was charged at its begin, in seconds of processor time; its end corrects it."""

    flow: Flow
    seconds: float


@dataclass(slots=True)
class _State(Generic[W]):
    waiting: deque[W] = field(default_factory=deque)
    in_work: int = 0
    unpaid: float = 0.0
    expected: float = FIRST_SECONDS


class KeyTurns(Generic[W]):
    """Who waits, by key and kind, the oldest first, and when the next of each may begin.

    Each flow pays for the processor time of its requests, and its next one begins when nothing is unpaid. Each second
    that goes by pays the share of a kind, in equal parts for the flows of the kind that have something unpaid. So a
    kind takes its share and at most what its requests in work take; a flow that has nothing unpaid waits for no other.
    What a request will take is expected from those before, and corrected at its end; what was charged too much is a
    credit of the flow. Times are seconds of a clock that never goes back.
    """

    def __init__(self) -> None:
        self._flows: dict[Flow, _State[W]] = {}
        self._paid_at = float("-inf")

    def __len__(self) -> int:
        return sum(len(state.waiting) for state in self._flows.values())

    def wait(self, waiter: W, flow: Flow) -> None:
        """Wait for a turn."""
        self._flows.setdefault(flow, _State()).waiting.append(waiter)

    def begin(self, now: float) -> list[tuple[Charge, W]]:
        """Those whose turns begin at `now`; `end` must follow for each."""
        self._pay(now)
        begun = []
        for flow, state in self._flows.items():
            if state.unpaid <= 0 and _has_room(flow, state):
                begun.append((Charge(flow, state.expected), state.waiting.popleft()))
                state.in_work += 1
                state.unpaid += state.expected
        return begun

    def end(self, charge: Charge, now: float, seconds: float) -> None:
        """End a turn, which took `seconds` of processor time."""
        self._pay(now)
        state = self._flows[charge.flow]
        cost = seconds + OUTSIDE_SECONDS
        state.unpaid += cost - charge.seconds
        state.expected = (state.expected + cost) / 2
        state.in_work -= 1
        for idle in [flow for flow, each in self._flows.items() if _is_idle(each)]:
            del self._flows[idle]

    def begins_in(self, now: float) -> float | None:
        """Seconds until a next turn may begin; None if nobody waits who need not wait for an end."""
        self._pay(now)
        found = [self._paid_in(flow) for flow, state in self._flows.items() if _has_room(flow, state)]
        return min(found) if found else None

    def _paid_in(self, flow: Flow) -> float:
        unpaid = self._flows[flow].unpaid
        if unpaid <= 0:
            return 0.0
        return SHARES[flow[1]] * sum(min(each.unpaid, unpaid) for each in self._unpaid(flow[1]))

    def _pay(self, now: float) -> None:
        seconds = now - self._paid_at
        self._paid_at = now
        for kind, share in SHARES.items():
            _pay_in_equal_parts(self._unpaid(kind), seconds / share)

    def _unpaid(self, kind: Kind) -> list[_State[W]]:
        return [state for flow, state in self._flows.items() if flow[1] is kind and state.unpaid > 0]


def _pay_in_equal_parts(states: Iterable[_State[W]], seconds: float) -> None:
    """Pay in equal parts what is unpaid. What one does not need is for the others, so the least is paid first."""
    ordered = sorted(states, key=lambda state: state.unpaid)
    for number, state in enumerate(ordered):
        paid = min(state.unpaid, seconds / (len(ordered) - number))
        state.unpaid -= paid
        seconds -= paid


def _is_idle(state: _State[W]) -> bool:
    return not state.waiting and not state.in_work and state.unpaid <= 0


def _has_room(flow: Flow, state: _State[W]) -> bool:
    return bool(state.waiting) and (flow[1] is not Kind.READ or state.in_work < READS_AT_ONCE)
