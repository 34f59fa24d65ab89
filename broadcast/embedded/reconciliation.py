"""Does the audience equal the sum of final states, and did the simulator see each of its numbers exactly once?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.status import DeliveryState


@dataclass(frozen=True)
class Reconciliation:
    """The proof of one broadcast: what the audit says, held against what the simulator saw.

    `missing` were in the audience and not suppressed but never reached the simulator; `unexpected` reached it
    without being in the audience; `repeated` reached it more than once.
    """

    audience: int
    states: Mapping[str, int]
    missing: int
    unexpected: int
    repeated: int
    gap: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gap", self.audience - sum(self.states.values()))

    @property
    def queued(self) -> int:
        return self.states.get(DeliveryState.QUEUED, 0)

    def problems(self) -> list[str]:
        """What does not hold, in words; empty: everything is accounted for."""
        checks = (
            (self.audience == 0, "the audience is empty"),
            (self.gap != 0, f"audience and sum of states differ by {self.gap}"),
            (self.queued > 0, f"{self.queued} recipients are still queued"),
            (self.missing > 0, f"{self.missing} numbers of the audience never reached the simulator"),
            (self.unexpected > 0, f"{self.unexpected} numbers reached the simulator that are not in the audience"),
            (self.repeated > 0, f"{self.repeated} numbers reached the simulator more than once"),
        )
        return [problem for wrong, problem in checks if wrong]


def reconcile(states: Mapping[str, int], audience: Iterable[int], seen: Mapping[int, int]) -> Reconciliation:
    """Compare the audience's numbers (digits as integers) with what the simulator saw (number → submits)."""
    expected = set(audience)
    suppressed = states.get(DeliveryState.SUPPRESSED, 0)
    missing = len(expected - seen.keys())
    return Reconciliation(
        audience=len(expected),
        states=states,
        missing=max(missing - suppressed, 0),
        unexpected=len(seen.keys() - expected),
        repeated=sum(1 for count in seen.values() if count > 1),
    )
