"""A text as the segments of an SMS, ready for `short_message` (SMPP 3.4, 5.2.22; 3GPP TS 23.040, 9.2.3.24).

A short message has 140 octets: 160 septets or 70 units. In a message of several segments each begins with a user data
header of 7 octets (its length, IEI 0x08, 4, the 16-bit reference, how many segments, which one), which leaves 133:
152 septets or 66 units. A 16-bit reference, because 8 bits are too few for one phone to keep texts apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID
from zlib import crc32

from broadcast.text import gsm, ucs2

SEGMENTS_MAX = 255
"""Most segments that the header can count."""

HEADER_OCTETS = 7
ESM_CLASS_UDHI = 0x40
GSM7_SINGLE, GSM7_PART = 160, 152
UCS2_SINGLE, UCS2_PART = 70, 66


class Encoding(StrEnum):
    """How a text is encoded; all segments of a text alike."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


DATA_CODING = {Encoding.GSM7: 0x00, Encoding.UCS2: 0x08}
"""The usual data_coding; an account may have its own for GSM 03.38, 0 being the SMSC's default (SMPP 5.2.19)."""


class TextTooLongError(ValueError):
    """A text with more segments than are allowed: `segments` and `limit` say how many."""

    def __init__(self, segments: int, limit: int) -> None:
        self.segments, self.limit = segments, limit
        super().__init__(f"the text needs {segments} segments, more than {limit}; shorten it, or raise the limit")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: `number` of `total` counts from 1; `short_message` is header and text, at most 160 octets."""

    number: int
    total: int
    encoding: Encoding
    esm_class: int
    data_coding: int
    short_message: bytes

    @property
    def body(self) -> bytes:
        """The text alone, without the header."""
        return self.short_message[HEADER_OCTETS:] if self.esm_class else self.short_message

    @property
    def reference(self) -> int:
        """The reference in the header; 0 where there is none."""
        return int.from_bytes(self.short_message[3:5], "big") if self.esm_class else 0


def encoding_of(text: str) -> Encoding:
    """GSM 03.38 where every character fits, else UCS-2."""
    return Encoding.GSM7 if gsm.fits(text) else Encoding.UCS2


def segment_count(text: str) -> int:
    """How many segments a text takes; an empty text takes one."""
    return sum(1 for _ in _cut(text, encoding_of(text)))


def split(text: str, *, reference: int, limit: int = SEGMENTS_MAX) -> list[Segment]:
    """The segments of a text, which join to exactly the text; raises `TextTooLongError` beyond `limit` segments.

    `reference` (0 to 65535) is what the phone joins by; take it from `reference_of`. No escape pair and no surrogate
    pair is divided.
    """
    encoding = encoding_of(text)
    bodies = list(_cut(text, encoding))
    total = len(bodies)
    if total > min(limit, SEGMENTS_MAX):
        raise TextTooLongError(total, min(limit, SEGMENTS_MAX))
    data_coding = DATA_CODING[encoding]
    if total == 1:
        return [Segment(1, 1, encoding, 0, data_coding, bodies[0])]
    return [
        Segment(number, total, encoding, ESM_CLASS_UDHI, data_coding, write_header(reference, total, number) + body)
        for number, body in enumerate(bodies, 1)
    ]


def reference_of(alert_id: UUID | str, variant: int = 0) -> int:
    """The reference of an alert's variant: 0 to 65535, the same in every process and at every retry.

    One for all recipients, so that one templated PDU serves them all. Two live alerts to the same phone share one by
    chance in 1 of 65,536; variants of one alert never do.
    """
    return (crc32(str(alert_id).encode()) + variant) & 0xFFFF


def write_header(reference: int, total: int, number: int) -> bytes:
    """The user data header of segment `number` of `total`, with a 16-bit reference (TS 23.040, section 9.2.3.24.8)."""
    return bytes([HEADER_OCTETS - 1, 0x08, 4, *reference.to_bytes(2, "big"), total, number])


def _cut(text: str, encoding: Encoding) -> Iterator[bytes]:
    if encoding is Encoding.GSM7:
        octets, single, part = gsm.encode(text), GSM7_SINGLE, GSM7_PART
    else:
        octets, single, part = ucs2.encode(text), UCS2_SINGLE * 2, UCS2_PART * 2
    if len(octets) <= single:
        yield octets
        return
    start = 0
    while start < len(octets):
        end = start + part
        if end < len(octets) and _divides_pair(octets, end, encoding):
            end -= 1 if encoding is Encoding.GSM7 else 2
        yield octets[start:end]
        start = end


def _divides_pair(octets: bytes, end: int, encoding: Encoding) -> bool:
    # Only an escape is 0x1B among unpacked septets, and only a high surrogate begins with 0xD8 to 0xDB.
    if encoding is Encoding.GSM7:
        return octets[end - 1] == gsm.ESCAPE
    return octets[end - 2] & 0xFC == 0xD8
