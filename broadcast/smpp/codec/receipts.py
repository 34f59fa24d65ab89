"""Delivery receipts: TLVs where there are any, else the text in all forms that SMSCs send."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import INTERMEDIATE_CLASS, MESSAGE_TYPE, RECEIPT_CLASS, UDHI, Delivery
from broadcast.smpp.codec.message_ids import LONGEST_ID
from broadcast.smpp.codec.receipt_text import (
    STATE_WORDS,
    Unclassified,
    is_receipt_text,
    read_fields,
    read_unusual_fields,
)
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    parse_tlvs,
    whole_tlvs,
)
from schemas.receipt import ReceiptState


class MessageState(IntEnum):
    """message_state (SMPP 3.4, 5.2.28; 0 and 9 from SMPP 5.0)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


# Records on Kafka have the states of 3.4 only: a scheduled message is on its way, a skipped one was not delivered.
RECEIPT_STATES: Final[Mapping[MessageState, ReceiptState]] = {
    MessageState.SCHEDULED: ReceiptState.ENROUTE,
    MessageState.ENROUTE: ReceiptState.ENROUTE,
    MessageState.DELIVERED: ReceiptState.DELIVERED,
    MessageState.EXPIRED: ReceiptState.EXPIRED,
    MessageState.DELETED: ReceiptState.DELETED,
    MessageState.UNDELIVERABLE: ReceiptState.UNDELIVERABLE,
    MessageState.ACCEPTED: ReceiptState.ACCEPTED,
    MessageState.UNKNOWN: ReceiptState.UNKNOWN,
    MessageState.REJECTED: ReceiptState.REJECTED,
    MessageState.SKIPPED: ReceiptState.UNDELIVERABLE,
}

FINAL_STATES: Final = frozenset(
    {
        MessageState.DELIVERED,
        MessageState.EXPIRED,
        MessageState.DELETED,
        MessageState.UNDELIVERABLE,
        MessageState.REJECTED,
        MessageState.SKIPPED,
    }
)
"""States after which nothing more is tried (5.2.28)."""


class ReceiptContent(msgspec.Struct, frozen=True, gc=False):
    """The content of a receipt; fields that it does not have are empty. Dates are YYMMDDhhmm or
    with ss, of an unknown time zone; in UTC where the SMSC states the zone.

    `by_text`: only its text says that it is a receipt, so that somebody may have written it on a phone.
    """

    message_id: bytes
    state: MessageState
    error: str = ""
    submitted: bytes = b""
    done: bytes = b""
    by_text: bool = False

    @property
    def receipt_state(self) -> ReceiptState:
        """The state as it stands in receipts on Kafka."""
        return RECEIPT_STATES[self.state]


_BY_NUMBER: Final[Mapping[int, MessageState]] = {int(state): state for state in MessageState}
_BY_WORD: Final[Mapping[bytes, MessageState]] = {word: MessageState(number) for word, number in STATE_WORDS.items()}
_RECEIPT_CLASSES: Final = frozenset([RECEIPT_CLASS, INTERMEDIATE_CLASS])
_ID_FIRST: Final = RECEIPTED_MESSAGE_ID.to_bytes(2, "big") + b"\0"
_STATE_LAST: Final = MESSAGE_STATE.to_bytes(2, "big") + b"\0\1"


def parse_receipt(delivery: Delivery, unclassified: Unclassified = Unclassified.EXACT) -> ReceiptContent | None:
    """The receipt in a deliver_sm or data_sm, or None when there is none or it has no message id.

    receipted_message_id and message_state have priority over the text (5.3.2.12, 5.3.2.35); what they do not say is
    read from the text, whatever its data_coding. It is a receipt by esm_class, or by a receipted_message_id where an
    SMSC does not set the class, or by its text as `unclassified` says. The message id is raw: see `MessageIdRule`. A
    state that is not known is UNKNOWN, which is not a failure. An intermediate notification is never final (5.2.12).
    """
    message_type = delivery.esm_class & MESSAGE_TYPE
    optional = delivery.optional
    payload = b""
    if len(optional) > 4 and optional[:3] == _ID_FIRST and optional[4 + optional[3] : -1] == _STATE_LAST:
        # What nearly every SMSC sends: the id, then the state.
        tagged, error, number = optional[4 : 4 + optional[3]], b"", optional[-1:]
    else:
        tlvs = read_tlvs(optional)
        tagged, number = tlvs.get(RECEIPTED_MESSAGE_ID, b""), tlvs.get(MESSAGE_STATE, b"")
        payload, network = tlvs.get(MESSAGE_PAYLOAD, b""), tlvs.get(NETWORK_ERROR_CODE, b"")
        error = b"%d:%d" % (network[0], int.from_bytes(network[1:], "big")) if len(network) == 3 else b""
    text = delivery.short_message
    by_text = False
    if message_type not in _RECEIPT_CLASSES and not tagged:
        # A type that is neither message nor receipt is no message of a phone: then less is asked of the text.
        by_text = True
        wanted = Unclassified.ANY if message_type else unclassified
        if delivery.esm_class & UDHI or not is_receipt_text(text, payload, delivery.data_coding, wanted):
            return None
    fields = read_fields(text)
    if fields is None:
        header = bool(delivery.esm_class & UDHI)
        fields = read_unusual_fields(text, payload, delivery.data_coding, header=header)
        if header and not fields[1] and not number:
            # A part of a receipt whose other parts say the state.
            return None
    message_id, word, stated_error, submitted, done = fields
    if tagged:
        message_id = tagged.partition(b"\0")[0].strip() or message_id
    if not message_id or len(message_id) > LONGEST_ID:
        return None
    if len(number) == 1:
        state = _BY_NUMBER.get(number[0], MessageState.UNKNOWN)
    else:
        state = _BY_WORD.get(word, MessageState.UNKNOWN)
    if message_type == INTERMEDIATE_CLASS and state in FINAL_STATES:
        state = MessageState.ENROUTE
    return ReceiptContent(message_id, state, (error or stated_error).decode("latin-1"), submitted, done, by_text)


def is_phone_message(delivery: Delivery) -> bool:
    """Whether what is no receipt is a message from a phone (esm_class bits 5 to 2, 5.2.12)."""
    return not delivery.esm_class & MESSAGE_TYPE and RECEIPTED_MESSAGE_ID not in read_tlvs(delivery.optional)


def read_tlvs(optional: bytes) -> Mapping[int, bytes]:
    """The optional parameters up to the first that is cut short: the others may still say everything."""
    try:
        return parse_tlvs(optional)
    except PduError:
        return parse_tlvs(optional[: whole_tlvs(optional)])
