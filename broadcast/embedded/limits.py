"""When the wait of a demo is over: everybody's state stands, or it takes too long."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broadcast.routing import Route
from schemas.lane import LANES
from schemas.status import DeliveryState

STALL_SECONDS = 60.0
"""Nothing changed for so long: something is broken, and the demo says what stands."""
LATE_SECONDS = 5.0
"""From a settled resend to its state in the database, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the demo waits for the last recipient; with `ends` it then ends and tells what stands.

    `unbound_seconds`: how long while everybody is queued and a stage misses something, such as a bind.
    """

    stall_seconds: float = STALL_SECONDS
    most_seconds: float = math.inf
    unbound_seconds: float = math.inf
    ends: bool = False

    def exceeded(self, waited: float, unchanged: float, *, unbound: bool = False) -> str | None:
        """Why the demo waits no longer, or None."""
        if unbound and unchanged > self.unbound_seconds:
            return f"nobody could be sent anything for {self.unbound_seconds:.0f} s"
        if unchanged > self.stall_seconds:
            return f"nothing changed for {self.stall_seconds:.0f} s"
        if waited > self.most_seconds:
            return f"it was not over after {self.most_seconds:.0f} s"
        return None


def unfinished(states: Mapping[str, int]) -> int:
    """Recipients who have no outcome yet, or no receipt."""
    return states.get(DeliveryState.QUEUED, 0) + states.get(DeliveryState.SUBMITTED, 0)


def states_stand(states: Mapping[str, int], unchanged: float, resend_seconds: float) -> bool:
    """Whether no state is expected to change any more, `unchanged` seconds after the last change.

    An unknown recipient may still get a resend, or a late answer, for `resend_seconds`.
    """
    if unfinished(states):
        return False
    return not states.get(DeliveryState.UNKNOWN, 0) or unchanged > resend_seconds


def longest_resend_seconds(routes: Iterable[Route]) -> float:
    """From an unknown outcome to that of its resend at most: the pause, and the time for an answer."""
    return max((_resend_seconds(route) for route in routes), default=0.0)


def _resend_seconds(route: Route) -> float:
    most = max(account.resend_unanswered.of(lane) for account in route.accounts for lane in LANES)
    if not most:
        return LATE_SECONDS
    pause = route.delays_seconds[min(most, len(route.delays_seconds) - 1)]
    return pause + max(account.response_timeout_seconds for account in route.accounts) + LATE_SECONDS
