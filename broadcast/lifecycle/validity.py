"""Until when each info of an alert is in force, and until when the alert is. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from schemas.alert import Alert


def ends_of(alert: Alert, *, default_seconds: float) -> tuple[datetime, ...]:
    """The instant from which each info says nothing any more: its `expires`.

    An info without `expires` ends `default_seconds` after `sent` (CAP leaves that to the recipient, R8).
    """
    default = alert.sent + timedelta(seconds=default_seconds)
    return tuple(info.expires or default for info in alert.info)


def expires_at(alert: Alert, *, default_seconds: float, ceiling_seconds: float, now: datetime) -> datetime:
    """The instant from which nothing of an alert is submitted any more: when its last info ends.

    Never later than `ceiling_seconds` after `now`, which topics and their retention are made for. It may lie in the
    past: then the alert is expired.
    """
    ends = ends_of(alert, default_seconds=default_seconds) or (alert.sent + timedelta(seconds=default_seconds),)
    return min(max(ends), now + timedelta(seconds=ceiling_seconds))


def in_force(ends: Sequence[datetime], now: datetime) -> tuple[int, ...]:
    """The places of those infos that are in force at `now`, by their ends."""
    return tuple(place for place, end in enumerate(ends) if end > now)
