"""Whether a receipt can be that of a submit whose message id nobody knows. Pure; when in doubt, it is not."""

from typing import Final

from broadcast.smpp.codec.receipts import ReceiptContent, seconds_between
from schemas.receipt import ReceiptState

SLACK_SECONDS: Final = 10.0
"""From our write to the SMSC's submit date, and from the done date to the arrival: longer says something else."""

_TAKEN: Final = frozenset([ReceiptState.DELIVERED, ReceiptState.ACCEPTED, ReceiptState.ENROUTE])
_WITH_SECONDS: Final = 12


def tolerance_seconds(receipt: ReceiptContent) -> float:
    """How far an instant may be off because of its dates, which many SMSCs give in whole minutes."""
    with_seconds = len(receipt.submitted) == len(receipt.done) == _WITH_SECONDS
    return 1.0 if with_seconds else 60.0


def says_taken(receipt: ReceiptContent) -> bool:
    """Whether the message is on the phone or on its way: the SMSC has it."""
    return receipt.receipt_state in _TAKEN


def fits(receipt: ReceiptContent, *, arrived_at: int, written_at: int) -> bool:
    """Whether a receipt says that an SMSC has the submit of `written_at`; both in milliseconds since the epoch.

    Its dates have no zone, so only their difference counts: the arrival less that is when the SMSC took the message. A
    receipt without dates, or of a message that failed, or that came before the write, never fits.
    """
    if arrived_at < written_at or not says_taken(receipt):
        return False
    seconds = seconds_between(receipt.submitted, receipt.done)
    if seconds is None:
        return False
    after_write = (arrived_at - written_at) / 1000 - seconds
    tolerance = tolerance_seconds(receipt)
    return -tolerance <= after_write <= SLACK_SECONDS + tolerance
