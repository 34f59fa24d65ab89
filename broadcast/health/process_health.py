"""Health of one process: what it waits for, and whether it makes progress (`docs/monitoring.md`)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka.structs import TopicPartition

from broadcast import metrics
from broadcast.clock import monotonic

STALL_SECONDS = 15.0
"""With lag, a commit older than this is a stall: above one session timeout, so that a rebalance is not one."""

Lags = Mapping[str, int]
"""Records that are left, by topic."""


Ends = Mapping[TopicPartition, int]
"""Where logs end, by partition."""


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """What of Kafka a stage reads: its partitions at this moment, and who is told where they end."""

    partitions: Callable[[], Iterable[TopicPartition]]
    tell: Callable[[Ends], None]


@dataclass(slots=True)
class Group:
    """One consumer group of a process: records left, last commit, and last commit that moved it forward."""

    committed_at: float
    moved_at: float
    lags: Lags = field(default_factory=dict)

    @property
    def lag(self) -> int:
        """Records left over all topics."""
        return sum(self.lags.values())


@dataclass
class Health:
    """What a stage says of itself; served as `/healthz` and `/readyz`, and as metrics of lag.

    A stage calls `hold` with a reason while it is not ready, `degrade` with one while it works with less than it
    should (`release` when the reason is gone), and `progress` after each commit with the lag that is left, in records.
    `facts` are what an operator wants to know though nothing is wrong, by name. `logs` are what it reads of Kafka;
    `shows` set further metrics when they are read.
    """

    stage: str
    now: Callable[[], float] = monotonic
    stall_seconds: float = STALL_SECONDS
    holds: dict[str, str] = field(default_factory=lambda: {"start": "starting"})
    degraded: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    logs: list[WatchedLog] = field(default_factory=list)
    shows: list[Callable[[], None]] = field(default_factory=list)
    away_since: dict[str, float] = field(default_factory=dict)
    _outside: set[str] = field(default_factory=set, init=False)
    _answered: set[str] = field(default_factory=set, init=False)

    def hold(self, name: str, reason: str, *, outside: bool = False) -> None:
        """Mark the process as not ready, for this reason, until `release(name)`.

        `outside`: what is missing is no part of this system, such as an SMSC, so the process has started.
        """
        self.release(name)
        self.holds[name] = reason
        if outside:
            self._outside.add(name)

    def degrade(self, name: str, reason: str) -> None:
        """Note that the process is ready, but with less than it should have, until `release(name)`."""
        self.release(name)
        self.degraded[name] = reason

    def release(self, name: str) -> None:
        """Remove the reason `name`; an unknown name is no error."""
        self.holds.pop(name, None)
        self.degraded.pop(name, None)
        self._outside.discard(name)

    def progress(self, group: str, lags: Lags, *, moved: bool = True) -> None:
        """Note a commit that just succeeded; `moved` says whether its position is beyond the one before."""
        found = self.behind(group, lags)
        found.committed_at = self.now()
        if moved:
            found.moved_at = found.committed_at

    def behind(self, group: str, lags: Lags) -> Group:
        """Note how many records are left. With none left the group counts as if it had just committed."""
        found = self.groups.get(group)
        if found is None:
            found = self.groups[group] = Group(self.now(), self.now())
        found.lags = lags
        if not found.lag:
            found.committed_at = found.moved_at = self.now()
        return found

    @property
    def lag(self) -> int:
        """Records left over all groups."""
        return sum(group.lag for group in self.groups.values())

    def stalled_seconds(self) -> float:
        """Age of the last commit of a group that has lag, the oldest of them; 0 without lag."""
        return max((self.now() - group.committed_at for group in self.groups.values() if group.lag), default=0.0)

    def missing(self, service: str) -> None:
        """Note that a server does not answer, from now on."""
        self.away_since.setdefault(service, self.now())

    def found(self, service: str) -> None:
        """Note that a server answers."""
        self.away_since.pop(service, None)
        self._answered.add(service)
        metrics.server_away.labels(self.stage, service).set(0)

    def away_seconds(self, service: str) -> float | None:
        """For how long a server has not answered; 0 while it does, None before it was asked."""
        if service in self.away_since:
            return self.now() - self.away_since[service]
        return 0.0 if service in self._answered else None

    def moving(self) -> bool:
        """False when there is lag and no commit for `stall_seconds`."""
        return self.stalled_seconds() <= self.stall_seconds

    def ready(self) -> bool:
        """True when nothing holds it and it is moving."""
        return not self.holds and self.moving()

    def started(self) -> bool:
        """True when nothing holds it but what is outside of this system."""
        return self.holds.keys() <= self._outside

    def report(self) -> dict[str, object]:
        """The body of `/readyz`."""
        return {
            "stage": self.stage,
            "ready": self.ready(),
            "started": self.started(),
            "moving": self.moving(),
            "lag": self.lag,
            "stalled_seconds": round(self.stalled_seconds(), 3),
            "holds": self.holds | self._stall(),
            "degraded": dict(self.degraded),
            "facts": dict(self.facts),
        }

    def _stall(self) -> dict[str, str]:
        if self.moving():
            return {}
        return {"progress": f"no commit for {self.stalled_seconds():.0f} s, and {self.lag:,} records are left"}

    def show(self) -> None:
        """Set the metrics of readiness, of servers that are away, and of lag.

        Call it when metrics are read: a stage that stalls does not call anything.
        """
        metrics.ready.labels(self.stage).set(self.ready())
        metrics.waits.clear()
        for name in self.holds.keys() | self._stall().keys():
            metrics.waits.labels(self.stage, name).set(1)
        for service, since in self.away_since.items():
            metrics.server_away.labels(self.stage, service).set(self.now() - since)
        for show in self.shows:
            show()
        for name, group in self.groups.items():
            for topic, lag in group.lags.items():
                metrics.consumer_lag_records.labels(topic, name).set(lag)
                metrics.consumer_lag.labels(topic, name).set(self.now() - group.moved_at if lag else 0.0)
