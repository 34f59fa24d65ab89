"""What a demo with a profile of the simulator shows: who was reached, and what the SMSC did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broadcast.embedded.demonstration import End, Reconciliation
from broadcast.embedded.limits import Limits
from broadcast.text.counts import counted
from schemas.status import DeliveryState

LIMITS = Limits(stall_seconds=60.0, most_seconds=300.0, unbound_seconds=15.0, ends=True)
"""A profile may make it impossible to reach anybody: then the demo ends, and says so."""


@dataclass(frozen=True, slots=True)
class ProfiledResult:
    """One demo with a profile: the reconciliation, how it ended, and the simulator's statistics.

    Not everybody is reached, and not everybody once: what must hold is that each recipient is in one state, that
    nobody is called delivered whom the simulator has not seen, and that whoever got it twice is marked.
    """

    about: str
    reconciliation: Reconciliation
    end: End
    stats: Mapping[str, Any]

    @property
    def delivered(self) -> int:
        """Recipients whose receipt says delivered."""
        return self.reconciliation.states.get(DeliveryState.DELIVERED, 0)

    @property
    def reached(self) -> int:
        """Recipients whose message the simulator took at least once."""
        found = self.reconciliation
        return found.audience - found.states.get(DeliveryState.SUPPRESSED, 0) - found.missing

    @property
    def exact(self) -> bool:
        """Everybody was reached, exactly once, and the audit says so of everybody."""
        everybody = self.reconciliation.audience - self.reconciliation.states.get(DeliveryState.SUPPRESSED, 0)
        return self.end.why is None and not self.reconciliation.problems() and self.delivered == everybody

    def problems(self) -> list[str]:
        """What does not hold whatever the profile does, in words."""
        found = self.reconciliation
        checks = (
            (found.audience == 0, "the audience is empty"),
            (found.gap != 0, f"audience and sum of states differ by {found.gap}"),
            (found.unexpected > 0, f"{counted(found.unexpected, 'number')} outside the audience reached the simulator"),
            (
                self.delivered > self.reached,
                f"{counted(self.delivered, 'recipient', 'is', 'are')} called delivered, and only "
                f"{self.reached} reached the simulator",
            ),
            (
                found.repeated > self.end.marked,
                f"{counted(found.repeated, 'number')} reached the simulator more than once, and only "
                f"{self.end.marked} marked as possible duplicates",
            ),
            (
                self.end.why is None and found.queued > 0,
                f"{counted(found.queued, 'recipient', 'is', 'are')} still queued",
            ),
        )
        return [problem for wrong, problem in checks if wrong]

    def statements(self) -> Iterator[str]:
        """What happened, one plain sentence each."""
        found, audience = self.reconciliation, self.reconciliation.audience
        yield f"the profile: {self.about or 'it says nothing about itself'}"
        if self.end.why is not None:
            yield f"the demo ended before the alert did: {self.end.why}"
        for name, why in self.end.missing.items():
            yield f"{name}: {why}"
        if self.delivered == 0:
            yield f"nobody of {counted(audience, 'recipient')} got the message"
        elif self.delivered < audience:
            yield f"{self.delivered:,} of {counted(audience, 'recipient')} got the message"
        else:
            yield f"all {counted(audience, 'recipient')} got the message"
        others = {str(state): count for state, count in found.states.items() if count and state != "delivered"}
        if others:
            yield "the others: " + ", ".join(f"{count:,} {state}" for state, count in others.items())
        if found.repeated:
            yield (
                f"{found.repeated:,} got it more than once; {counted(self.end.marked, 'recipient', 'is', 'are')} "
                "marked as possible duplicates"
            )
        for name, account in self.stats["accounts"].items():
            yield f"account {name}: {_describe(account)}"
        violations = self.stats["violations"]
        if violations:
            yield "violations of SMPP or of the account's limits: " + ", ".join(
                f"{kind} {count:,}" for kind, count in violations.items()
            )
        else:
            yield "no violation of SMPP or of the account's limits"


def _describe(account: Mapping[str, Any]) -> str:
    refusals = ", ".join(f"{name} {count:,}" for name, count in account["refused_by_status"].items())
    return (
        f"{counted(account['submits'], 'submit')}, {account['accepted']:,} accepted, {account['refused']:,} refused"
        f"{f' ({refusals})' if refusals else ''}, {account['unanswered']:,} never answered; at most "
        f"{account['highest_per_second']:,} in a second"
    )
