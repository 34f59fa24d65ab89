"""Which CAP status goes where, and until when an alert may be sent."""

from datetime import datetime, timedelta

from schemas.alert import Alert, Status

_MAY_CARRY: dict[str, tuple[bool, bool]] = {
    # status: (a live route, a simulated route)
    Status.ACTUAL: (True, True),
    Status.EXERCISE: (True, True),
    Status.TEST: (False, True),
    Status.SYSTEM: (False, False),
    Status.DRAFT: (False, False),
}


def may_carry(status: Status | str, live: bool) -> bool:
    """Whether a route may carry an alert of a CAP status; planner, expander and sender all ask.

    A live route takes `Actual`, and `Exercise` (whose audience is limited to participants); a simulated one takes
    `Test` besides. `System` and `Draft` go nowhere (`docs/cap.md`), nor does a status that CAP does not know.
    """
    on_live, on_simulated = _MAY_CARRY.get(status, (False, False))
    return on_live if live else on_simulated


def participants_only(status: Status | str) -> bool:
    """Whether the audience is limited to recipients marked as participants (CAP 3.2.1, Exercise)."""
    return status == Status.EXERCISE


def expires_at(alert: Alert, *, default_seconds: float, ceiling_seconds: float, now: datetime) -> datetime:
    """The instant from which nothing of an alert is submitted any more.

    The earliest `expires` of its infos, because one text may hold them all; an info without one expires
    `default_seconds` after `sent` (CAP leaves that to the recipient, R8). Never later than `ceiling_seconds` after
    `now`, which topics and their retention are made for. It may lie in the past: then the alert is expired.
    """
    default = alert.sent + timedelta(seconds=default_seconds)
    ends = [info.expires or default for info in alert.info] or [default]
    return min(*ends, now + timedelta(seconds=ceiling_seconds))
