"""The catalogue of topics: name, key, value type, partitions, retention. The broker must equal it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.alert import AlertEvent
from schemas.control import Control
from schemas.deadletter import DeadLetter
from schemas.expansion import Expansion
from schemas.inbound import Inbound
from schemas.job import Job
from schemas.lane import LANES, Lane
from schemas.receipt import Receipt
from schemas.status import Status

HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
FOREVER_SECONDS = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `retention_seconds` -1 keeps for ever. `key` names what the key is.

    `stamped`: the broker sets the time of each record, not who writes it.
    """

    name: str
    key: str
    value: type
    partitions: int
    retention_seconds: int
    compacted: bool = False
    stamped: bool = False


@dataclass(frozen=True, slots=True)
class RouteTopics:
    """What the catalogue must know of a route."""

    name: str
    partitions: int
    delays_seconds: tuple[int, ...]


class Names:
    """Topic names under one prefix, `broadcast.` by default."""

    def __init__(self, prefix: str = "broadcast.") -> None:
        self.prefix = prefix
        self.alerts = f"{prefix}alerts.v1"
        self.control = f"{prefix}control.v1"
        self.statuses = f"{prefix}statuses.v1"
        self.receipts = f"{prefix}receipts.v1"
        self.inbound = f"{prefix}inbound.v1"
        self.deadletters = f"{prefix}deadletters.v1"
        self.clock = f"{prefix}clock.v1"

    def expansions(self, lane: Lane) -> str:
        return f"{self.prefix}expansions.{lane}.v1"

    def jobs(self, route: str, lane: Lane) -> str:
        return f"{self.prefix}jobs.{route}.{lane}.v1"

    def delay(self, route: str, lane: Lane, seconds: int) -> str:
        return f"{self.prefix}jobs.{route}.{lane}.delay.{seconds}s.v1"

    def has(self, topic: str) -> bool:
        """Whether a topic is one of ours by its name, whatever the routes are."""
        if not topic.startswith(self.prefix):
            return False
        name = topic.removeprefix(self.prefix)
        return name in _FIXED or _BY_LANE.fullmatch(name) is not None


_FIXED = frozenset(
    f"{name}.v1" for name in ("alerts", "control", "statuses", "receipts", "inbound", "deadletters", "clock")
)
_LANES = "|".join(LANES)
_BY_LANE = re.compile(rf"(?:expansions\.(?:{_LANES})|jobs\.[a-z0-9_-]+\.(?:{_LANES})(?:\.delay\.[1-9][0-9]*s)?)\.v1")


def catalogue(
    names: Names,
    routes: Iterable[RouteTopics],
    *,
    longest_expiry_seconds: int = DAY_SECONDS,
    expansion_partitions: int = 4,
    status_partitions: int = 4,
    receipt_partitions: int = 4,
) -> list[Topic]:
    """Every topic. Jobs, statuses and receipts outlive the longest expiry by a day."""
    kept = longest_expiry_seconds + DAY_SECONDS
    topics = [
        Topic(names.alerts, "alert id", AlertEvent, 1, FOREVER_SECONDS),
        Topic(names.control, "alert id, or alert id/stop", Control, 1, FOREVER_SECONDS, compacted=True),
        Topic(names.statuses, "recipient id", Status, status_partitions, 7 * DAY_SECONDS + kept),
        Topic(names.receipts, "account", Receipt, receipt_partitions, 7 * DAY_SECONDS + kept),
        Topic(names.inbound, "route", Inbound, 1, kept),
        Topic(names.deadletters, "source topic", DeadLetter, 1, kept),
        Topic(names.clock, "stage and slot", bytes, 1, HOUR_SECONDS, stamped=True),
    ]
    topics += [Topic(names.expansions(lane), "alert id", Expansion, expansion_partitions, kept) for lane in LANES]
    for route in routes:
        topics += [Topic(names.jobs(route.name, lane), "recipient id", Job, route.partitions, kept) for lane in LANES]
        topics += [
            Topic(names.delay(route.name, lane, seconds), "recipient id", Job, route.partitions, kept)
            for lane in LANES
            for seconds in route.delays_seconds
        ]
    return topics
