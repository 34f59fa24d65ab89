"""What senders must know of each alert: the records of `control.v1`, compacted."""

import msgspec

from schemas.lane import Lane

STOP_SUFFIX = "/stop"


class Variant(msgspec.Struct):
    """One text of an alert, rendered for phones, in one language (RFC 3066 tag)."""

    language: str
    text: str


class Control(msgspec.Struct, omit_defaults=True):
    """An alert as the senders see it; key: the alert id.

    `status` is the CAP status and decides which routes may carry it; `expires_at` is in milliseconds
    since the epoch; `variants` are indexed by `Job.variant`.
    """

    alert_id: str
    lane: Lane
    status: str
    expires_at: int
    variants: tuple[Variant, ...]


class Stop(msgspec.Struct, omit_defaults=True):
    """A stop; key: the alert id and `/stop`. Nothing undoes it. `at` in milliseconds since the epoch."""

    alert_id: str
    at: int
    actor: str
    reason: str = ""


def stop_key(alert_id: str) -> str:
    """The control key of an alert's stop."""
    return alert_id + STOP_SUFFIX
