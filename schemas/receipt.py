"""One delivery receipt of an SMSC, on `receipts.v1`."""

from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.bounds import MessageId, Milliseconds, Name, Number, Octet, Reason, Signed64

RawOctets = Annotated[bytes, msgspec.Meta(max_length=4_096)]
"""Four times what the sender keeps of a part."""


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


class RawDelivery(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """What an SMSC delivered and nobody could read, and why; the digits of phone numbers in it are `#`.

    `text` is short_message, `parameters` the optional parameters, `body` the whole body where its fields cannot be
    told apart. Each is cut; `octets` is the length of all three before.
    """

    reason: Reason
    esm_class: Octet = 0
    data_coding: Octet = 0
    text: RawOctets = b""
    parameters: RawOctets = b""
    body: RawOctets = b""
    octets: Number = 0


class Receipt(msgspec.Struct, omit_defaults=True, gc=False):
    """A receipt as the sender received it: not joined to its message, without a phone number.

    Key on Kafka: the account. `message_id` is normalised by the account's rule, `number_hash` is the keyed signed
    64-bit hash of the number, `received_at` is milliseconds since the epoch, `error` is the network's or SMSC's own
    code as text. `id_rule` is the rule, where it is not `as_is`. `by_text`: only the text said that it is a receipt.
    With `raw` it could not be read: then it has no message id and no state.
    """

    account: Name
    message_id: MessageId
    state: ReceiptState
    number_hash: Signed64 = 0
    error: str = ""
    received_at: Milliseconds = 0
    id_rule: Name = ""
    by_text: bool = False
    raw: RawDelivery | None = None
