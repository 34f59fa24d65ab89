"""Clocks, passed in: wall time for instants, monotonic time for durations."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)


def epoch_milliseconds() -> int:
    """The wall clock in milliseconds since the epoch, as records carry it."""
    return time.time_ns() // 1_000_000


monotonic = time.monotonic
