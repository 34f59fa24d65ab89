"""Deliveries that nobody can read, kept as they came but without phone numbers."""

import re
from collections.abc import Sequence
from typing import Final

from broadcast.pii import blank_numbers
from broadcast.smpp.codec.message import MESSAGE_TYPE, UDHI, Delivery
from broadcast.smpp.codec.message_ids import LONGEST_ID
from broadcast.smpp.codec.receipts import read_tlvs
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, RECEIPTED_MESSAGE_ID
from schemas.receipt import RawDelivery

LONGEST_PART: Final = 1_024
"""Octets that are kept of each part: more than any receipt has."""

_LOOKED_AT: Final = LONGEST_PART + 256
"""Octets of each part in which numbers are looked for: one that begins in what is kept ends before, even in UCS-2."""

NO_MESSAGE: Final = "a receipt that names no message: it has no message id in its parameters or its text"
LONG_ID: Final = "a receipt whose message id has more than 255 octets"
PART: Final = "a part of a receipt that came in several messages: parts of receipts are not joined"

_LONG_ID: Final = re.compile(rb"id\s*[:=]\s*[^\s,;|]{%d}" % (LONGEST_ID + 1), re.IGNORECASE)


def reason_unreadable(delivery: Delivery) -> str:
    """Why a delivery is neither a receipt nor a message from a phone, in words."""
    if delivery.fault is not None:
        return delivery.fault.reason
    if delivery.is_receipt or not delivery.esm_class & MESSAGE_TYPE:
        return _why_no_message(delivery)
    return f"esm_class 0x{delivery.esm_class:02X} is neither that of a receipt nor that of a message"


def _why_no_message(delivery: Delivery) -> str:
    if delivery.esm_class & UDHI:
        return PART
    found = read_tlvs(delivery.optional)
    tagged = found.get(RECEIPTED_MESSAGE_ID, b"").partition(b"\0")[0].strip()
    texts = (delivery.short_message, found.get(MESSAGE_PAYLOAD, b""))
    long = len(tagged) > LONGEST_ID or any(_LONG_ID.search(text, 0, _LOOKED_AT) for text in texts)
    return LONG_ID if long else NO_MESSAGE


def make_raw_delivery(delivery: Delivery, reason: str) -> RawDelivery:
    """The octets of a delivery with its addresses blanked; with every long number blanked where they are unknown."""
    fault = delivery.fault
    if fault is not None:
        return RawDelivery(reason, body=_make_part(fault.body, None), octets=len(fault.body))
    addresses = (delivery.source, delivery.destination)
    return RawDelivery(
        reason,
        delivery.esm_class,
        delivery.data_coding,
        _make_part(delivery.short_message, addresses),
        _make_part(delivery.optional, addresses),
        octets=len(delivery.short_message) + len(delivery.optional),
    )


def _make_part(octets: bytes, numbers: Sequence[bytes] | None) -> bytes:
    return blank_numbers(octets[:_LOOKED_AT], numbers)[:LONGEST_PART]
