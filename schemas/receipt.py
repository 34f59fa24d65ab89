"""One delivery receipt of an SMSC, on `receipts.v1`."""

from enum import StrEnum
from typing import Annotated

import msgspec

YEAR_10000 = 253_402_300_800_000

Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=YEAR_10000)]
"""An instant before the year 10000, in milliseconds since the epoch; checked when a record is read."""

Signed64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ReceiptState(StrEnum):
    """Message states of SMPP 3.4, section 5.2.28."""

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    DELETED = "deleted"
    UNDELIVERABLE = "undeliverable"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


FINAL_RECEIPT_STATES = frozenset(
    {
        ReceiptState.DELIVERED,
        ReceiptState.EXPIRED,
        ReceiptState.DELETED,
        ReceiptState.UNDELIVERABLE,
        ReceiptState.REJECTED,
    }
)


class Receipt(msgspec.Struct, omit_defaults=True, gc=False):
    """A receipt as the sender received it: not joined to its message, without a phone number.

    Key on Kafka: the account. `message_id` is normalised by the account's rule, `number_hash` is the
    keyed signed 64-bit hash of the number, instants are milliseconds since the epoch (0: not given),
    `error` is the network's or SMSC's own code as text.
    """

    account: str
    message_id: str
    state: ReceiptState
    number_hash: Signed64 = 0
    error: str = ""
    done_at: Milliseconds = 0
    received_at: Milliseconds = 0
