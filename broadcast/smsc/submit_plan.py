"""What the simulator does with one submit: a function of seed, destination and number of repetitions. Pure."""

from typing import Final, NamedTuple

from broadcast.smsc.behaviour import Behaviour

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_WORD: Final = 1 << 32


class SubmitPlan(NamedTuple):
    """command_status of the response (0: accepted), and how response and receipt differ from the normal case."""

    status: int
    unanswered: bool
    undelivered: bool
    receipt_first: bool
    receipt_twice: bool
    receipt_unknown: bool


def mix(value: int) -> int:
    """splitmix64: 64 well mixed bits from any integer."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class SubmitPlanner:
    """Makes plans that do not depend on the order of submits, on their bind or on their TCP segment."""

    def __init__(self, seed: int, behaviour: Behaviour) -> None:
        self._seed: Final = mix(seed)
        self._thresholds: list[tuple[float, int]] = []
        reached = 0.0
        for status, share in behaviour.statuses():
            reached += share
            self._thresholds.append((reached * _WORD, status))
        self._unanswered: Final = (reached * _WORD, (reached + behaviour.hang_share) * _WORD)
        self._undelivered: Final = behaviour.undelivered_share * _WORD
        self._first: Final = behaviour.receipt_first_share * _WORD
        self._twice: Final = behaviour.receipt_twice_share * _WORD
        self._unknown: Final = behaviour.receipt_unknown_share * _WORD

    def plan(self, destination: int, repetition: int) -> SubmitPlan:
        """The plan for a submit to `destination` after `repetition` submits of the same message to it."""
        first = mix(self._seed ^ (destination * 31 + repetition))
        second = mix(first)
        third = mix(second)
        draw = first & 0xFFFFFFFF
        status = 0
        for threshold, candidate in self._thresholds:
            if draw < threshold:
                status = candidate
                break
        return SubmitPlan(
            status,
            self._unanswered[0] <= draw < self._unanswered[1],
            first >> 32 < self._undelivered,
            second & 0xFFFFFFFF < self._first,
            second >> 32 < self._twice,
            third & 0xFFFFFFFF < self._unknown,
        )
