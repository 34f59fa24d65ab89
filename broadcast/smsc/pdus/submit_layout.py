"""Submits that differ in sequence number and destination only have one layout, and are read by one struct."""

import re
import struct
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from broadcast.smpp.codec.message import ShortMessage, parse_message
from broadcast.smpp.codec.pdu import HEADER_LENGTH
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    parse_tlvs,
)
from broadcast.smsc.counts.submit_counts import TextKey
from broadcast.smsc.counts.violations import Violation

# Numbers of segments in a UDH: IEI 0x00 with an 8-bit reference, 0x08 with a 16-bit one (TS 23.040, 9.2.3.24).
_CONCATENATION: Final = {0x00: 2, 0x08: 3}


_ALPHANUMERIC: Final = 5
# 7.1.1: YYMMDDhhmmsstnnp, absolute (+ or -) or relative (R).
_TIME: Final = re.compile(rb"\d{12}\d\d\d[+-]|\d{15}R")


class SubmitLayout:
    """One layout: `struct` unpacks a PDU to header, `head`, destination, `tail`."""

    __slots__ = (
        "faults",
        "head",
        "key",
        "long_message",
        "message",
        "receipts",
        "struct",
        "tail",
        "wants_failure",
        "wants_success",
    )

    def __init__(self, pdu: bytes) -> None:
        """Take the layout from one whole submit_sm. PduError when its body is cut short."""
        message = parse_message(pdu, HEADER_LENGTH, len(pdu))
        before = len(message.service_type) + 1 + 2 + len(message.source) + 1 + 2
        digits = len(message.destination)
        at = HEADER_LENGTH + before
        self.message: Final[ShortMessage] = message
        self.head: Final = pdu[HEADER_LENGTH:at]
        self.tail: Final = pdu[at + digits :]
        self.struct: Final = struct.Struct(f">IIII{before}s{digits}s{len(self.tail)}s")
        part = read_part(message)
        self.key: Final = TextKey(part.digest, part.number)
        # Reference and number of parts of a long message; None for one of a single part.
        self.long_message: Final = (part.reference, part.total) if part.total > 1 else None
        self.faults: Final = find_faults(message)
        # Rendered receipts of this layout, as `receipts` keeps them.
        self.receipts: Final[dict[object, Any]] = {}
        # 5.2.17, bits 1 and 0: receipt always, or for failures only.
        self.wants_success: Final = message.registered_delivery & 3 == 1
        self.wants_failure: Final = message.registered_delivery & 3 in {1, 2}


class Part(NamedTuple):
    """A part of a message: digest of the text without UDH, its number, how many there are, and their reference."""

    digest: bytes
    number: int
    total: int
    reference: int


def read_part(message: ShortMessage) -> Part:
    """Which part of which message this is, by UDH or by the sar_* parameters."""
    tlvs = parse_tlvs(message.optional)
    text = message.short_message or tlvs.get(MESSAGE_PAYLOAD, b"")
    number = int.from_bytes(tlvs.get(SAR_SEGMENT_SEQNUM, b"\1"), "big")
    total = int.from_bytes(tlvs.get(SAR_TOTAL_SEGMENTS, b"\1"), "big")
    reference = int.from_bytes(tlvs.get(SAR_MSG_REF_NUM, b""), "big")
    if message.esm_class & 0x40 and text:
        header = text[1 : 1 + text[0]]
        text = text[1 + text[0] :]
        offset = 0
        while offset + 2 <= len(header):
            element, length = header[offset], header[offset + 1]
            width = _CONCATENATION.get(element)
            if width is not None and offset + 2 + width < len(header):
                number, total = header[offset + 2 + width], header[offset + 1 + width]
                reference = int.from_bytes(header[offset + 2 : offset + 1 + width], "big")
            offset += 2 + length
    return Part(blake2b(bytes([message.data_coding]) + text, digest_size=8).digest(), number, total, reference)


def find_faults(message: ShortMessage) -> tuple[Violation, ...]:
    """What 3.4 forbids in a submit_sm; lengths of addresses are with their NUL (5.2.8, 5.2.9)."""
    tlvs = parse_tlvs(message.optional)
    checks = (
        (message.esm_class & 0x40 and SAR_MSG_REF_NUM in tlvs, Violation.UDH_AND_SAR),
        (message.short_message and MESSAGE_PAYLOAD in tlvs, Violation.TEXT_AND_PAYLOAD),
        (len(message.source) > (11 if message.source_ton == _ALPHANUMERIC else 20), Violation.SOURCE_TOO_LONG),
        (len(message.destination) > 20, Violation.DESTINATION_TOO_LONG),
        (
            message.validity_period and _TIME.fullmatch(message.validity_period) is None,
            Violation.VALIDITY_MALFORMED,
        ),
    )
    return tuple(kind for found, kind in checks if found)
