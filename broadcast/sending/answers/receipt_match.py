"""Whether a receipt can be that of a submit whose message id nobody knows. Pure; when in doubt, it is not."""

from typing import Final

from broadcast.smpp.codec.receipt_dates import has_seconds, read_date, seconds_between
from broadcast.smpp.codec.receipts import ReceiptContent
from schemas.receipt import ReceiptState

SLACK_SECONDS: Final = 10.0
"""Between our write and the SMSC's submit date, and from the done date to the arrival: longer says something else."""

TOLERANCE_SECONDS: Final = 1.0
"""How far the instant of the arrival less the two dates may be off, because they have whole seconds."""

ZONE_SECONDS: Final = 900
"""All time zones differ from UTC by a multiple of this."""

WEST_SECONDS: Final = 12 * 3600
EAST_SECONDS: Final = 14 * 3600
"""The time zones that are furthest behind UTC, and before it."""

_TAKEN: Final = frozenset([ReceiptState.DELIVERED, ReceiptState.ACCEPTED, ReceiptState.ENROUTE])


def says_taken(receipt: ReceiptContent) -> bool:
    """Whether the message is on the phone or on its way: the SMSC has it."""
    return receipt.receipt_state in _TAKEN


def fits(receipt: ReceiptContent, *, arrived_at: int, written_at: int) -> bool:
    """Whether a receipt says that an SMSC has the submit of `written_at`; both in milliseconds since the epoch.

    Two things must agree with the write: the submit date, in some time zone, because dates have none; and the arrival
    less the seconds between its two dates. The second alone also fits a receipt that an SMSC held back. One without
    dates to the second, or of a message that failed, or that came before the write, never fits.
    """
    if arrived_at < written_at or not says_taken(receipt):
        return False
    if not (has_seconds(receipt.submitted) and has_seconds(receipt.done)):
        return False
    submitted, seconds = read_date(receipt.submitted), seconds_between(receipt.submitted, receipt.done)
    if submitted is None or seconds is None or not _is_instant_of(submitted, written_at / 1000):
        return False
    after_write = (arrived_at - written_at) / 1000 - seconds
    return -TOLERANCE_SECONDS <= after_write <= SLACK_SECONDS + TOLERANCE_SECONDS


def seconds_apart(one: float, other: float) -> float:
    """How many seconds two instants are apart at least, when the time zone of one is not known."""
    apart = (one - other) % ZONE_SECONDS
    return min(apart, ZONE_SECONDS - apart)


def _is_instant_of(date: float, instant: float) -> bool:
    """Whether a date is an instant in the time of some zone; both in seconds."""
    zone = round((date - instant) / ZONE_SECONDS) * ZONE_SECONDS
    return -WEST_SECONDS <= zone <= EAST_SECONDS and seconds_apart(date, instant) <= SLACK_SECONDS
