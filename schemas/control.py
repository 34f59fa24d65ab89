"""What senders must know of each alert: the records of `control.v1`, compacted."""

from typing import Annotated

import msgspec

from schemas.bounds import ALERT_BYTES_MAX, VARIANTS_MAX, AlertId, Language, Milliseconds, Name
from schemas.lane import Lane

STOP_SUFFIX = "/stop"

Text = Annotated[str, msgspec.Meta(max_length=ALERT_BYTES_MAX)]


class Variant(msgspec.Struct):
    """One text of an alert, rendered for phones, in one language (RFC 3066 tag)."""

    language: Language
    text: Text


class Control(msgspec.Struct, omit_defaults=True):
    """An alert as the senders see it; key: the alert id.

    `status` is the CAP status and decides which routes may carry it; `expires_at` is in milliseconds
    since the epoch; `variants` are indexed by `Job.variant`. `trial`: a test message to one number, whose statuses name
    the bind. `account`, of a trial only, is the one account that may take it; empty: any.
    """

    alert_id: AlertId
    lane: Lane
    status: Name
    expires_at: Milliseconds
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(max_length=VARIANTS_MAX)]
    trial: bool = False
    account: Name = ""


class Stop(msgspec.Struct, omit_defaults=True):
    """A stop; key: the alert id and `/stop`. Nothing undoes it. `at` in milliseconds since the epoch."""

    alert_id: AlertId
    at: Milliseconds
    actor: Text
    reason: Text = ""


def stop_key(alert_id: str) -> str:
    """The control key of an alert's stop."""
    return alert_id + STOP_SUFFIX
