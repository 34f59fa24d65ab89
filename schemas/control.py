"""What senders must know of each alert: the records of `control.v1`, compacted."""

from typing import Annotated

import msgspec

from schemas.bounds import ALERT_BYTES_MAX, VARIANTS_MAX, AlertId, Language, Milliseconds, Name
from schemas.lane import Lane

STOP_SUFFIX = "/stop"

Text = Annotated[str, msgspec.Meta(max_length=ALERT_BYTES_MAX)]
Following = Annotated[int, msgspec.Meta(ge=-1, lt=VARIANTS_MAX)]


class Variant(msgspec.Struct, omit_defaults=True):
    """One text of an alert, rendered for phones, in one language (RFC 3066 tag).

    It is in force until `expires_at`, in milliseconds since the epoch, 0: as long as the alert. `following` is the
    index of the variant that its readers get from then on; -1: none.
    """

    language: Language
    text: Text
    expires_at: Milliseconds = 0
    following: Following = -1


class Control(msgspec.Struct, omit_defaults=True):
    """An alert as the senders see it; key: the alert id.

    `status` is the CAP status and decides which routes may carry it; `expires_at` is in milliseconds since the epoch;
    `variants` are indexed by `Job.variant`. `trial`: a test message to one number, whose statuses name the bind.
    `account`, of a trial only, is the one account that may take it; empty: any. `for_phones`: it was planned with
    routes of which none is simulated, so no simulated one may carry it.
    """

    alert_id: AlertId
    lane: Lane
    status: Name
    expires_at: Milliseconds
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(max_length=VARIANTS_MAX)]
    trial: bool = False
    account: Name = ""
    for_phones: bool = False


class Stop(msgspec.Struct, omit_defaults=True):
    """A stop; key: the alert id and `/stop`. Nothing undoes it. `at` in milliseconds since the epoch."""

    alert_id: AlertId
    at: Milliseconds
    actor: Text
    reason: Text = ""


def stop_key(alert_id: str) -> str:
    """The control key of an alert's stop."""
    return alert_id + STOP_SUFFIX


def variant_at(control: Control, index: int, now: int) -> int:
    """The index of the variant that takes the place of `index` at `now`, in milliseconds since the epoch.

    It is `index` itself while that is in force, where no other follows, or where it does not exist.
    """
    variants = control.variants
    for _ in variants:
        if not 0 <= index < len(variants):
            break
        variant = variants[index]
        if not 0 < variant.expires_at <= now or variant.following < 0:
            break
        index = variant.following
    return index
