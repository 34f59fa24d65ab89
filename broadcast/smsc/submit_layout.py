"""Submits that differ in sequence number and destination only have one layout, and are read by one struct."""

import struct
from hashlib import blake2b
from typing import Final

from broadcast.smpp.codec.message import ShortMessage, parse_message
from broadcast.smpp.codec.pdu import HEADER_LENGTH
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, SAR_SEGMENT_SEQNUM, parse_tlvs
from broadcast.smsc.submit_counts import TextKey

# Numbers of segments in a UDH: IEI 0x00 with an 8-bit reference, 0x08 with a 16-bit one (TS 23.040, 9.2.3.24).
_CONCATENATION: Final = {0x00: 2, 0x08: 3}


class SubmitLayout:
    """One layout: `struct` unpacks a PDU to header, `head`, destination, `tail`."""

    __slots__ = ("head", "key", "message", "struct", "tail", "wants_failure", "wants_success")

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
        self.key: Final = identify_text(message)
        # 5.2.17, bits 1 and 0: receipt always, or for failures only.
        self.wants_success: Final = message.registered_delivery & 3 == 1
        self.wants_failure: Final = message.registered_delivery & 3 in {1, 2}


def identify_text(message: ShortMessage) -> TextKey:
    """The text without its UDH, and the segment's number; so the same message sent again has the same key."""
    tlvs = parse_tlvs(message.optional)
    text = message.short_message or tlvs.get(MESSAGE_PAYLOAD, b"")
    segment = tlvs.get(SAR_SEGMENT_SEQNUM, b"\1")[0]
    if message.esm_class & 0x40 and text:
        header = text[1 : 1 + text[0]]
        text = text[1 + text[0] :]
        offset = 0
        while offset + 2 <= len(header):
            element, length = header[offset], header[offset + 1]
            number = _CONCATENATION.get(element)
            if number is not None and offset + 2 + number < len(header):
                segment = header[offset + 2 + number]
            offset += 2 + length
    return TextKey(blake2b(bytes([message.data_coding]) + text, digest_size=8).digest(), segment)
