"""Clocks, passed in: wall time for instants, monotonic time for durations."""

import time
from datetime import UTC, datetime

from schemas.bounds import YEAR_10000


def utc_now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)


def epoch_milliseconds() -> int:
    """The wall clock in milliseconds since the epoch, as records carry it."""
    return time.time_ns() // 1_000_000


def instant_of(timestamp: int) -> int:
    """A record's timestamp, or the nearest that can be stored: a broker takes any number that is not far ahead."""
    return min(max(timestamp, 0), YEAR_10000 - 1)


monotonic = time.monotonic
