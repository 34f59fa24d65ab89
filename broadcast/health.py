"""Health of one process: progress, not mere presence (design, section 6)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from broadcast.clock import monotonic

STALL_SECONDS = 15.0
"""With lag, a commit older than this is a stall: above one session timeout, so that a rebalance is not one."""


@dataclass
class Health:
    """What a stage says of itself; served as `/healthz` and `/readyz`.

    A stage calls `hold` with a reason while it is not ready (`release` when the reason is gone), and
    `progress` after each commit with the lag that is left, in records.
    """

    stage: str
    now: Callable[[], float] = monotonic
    stall_seconds: float = STALL_SECONDS
    lag: int = 0
    holds: dict[str, str] = field(default_factory=lambda: {"start": "starting"})
    committed_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.committed_at = self.now()

    def hold(self, name: str, reason: str) -> None:
        """Not ready, for this reason, until `release(name)`."""
        self.holds[name] = reason

    def release(self, name: str) -> None:
        """The reason `name` is gone; unknown names are fine."""
        self.holds.pop(name, None)

    def progress(self, lag: int) -> None:
        """A commit succeeded just now, or there was nothing to do; `lag` records are left."""
        self.committed_at = self.now()
        self.lag = lag

    def behind(self, lag: int) -> None:
        """`lag` records are left; says nothing of a commit."""
        self.lag = lag

    def stalled_seconds(self) -> float:
        """Age of the last commit while there is lag; 0 without lag."""
        return self.now() - self.committed_at if self.lag > 0 else 0.0

    def healthy(self) -> bool:
        """False when there is lag and no commit for `stall_seconds`."""
        return self.stalled_seconds() <= self.stall_seconds

    def ready(self) -> bool:
        """True when nothing holds it and it is healthy."""
        return not self.holds and self.healthy()

    def report(self) -> dict[str, object]:
        """The body of `/readyz`."""
        return {
            "stage": self.stage,
            "ready": self.ready(),
            "healthy": self.healthy(),
            "lag": self.lag,
            "stalled_seconds": round(self.stalled_seconds(), 3),
            "holds": dict(self.holds),
        }
