"""Optional parameters: tag, length, value (SMPP 3.4, 3.2.4 and 5.3)."""

import struct
from collections.abc import Iterable
from typing import Final

from broadcast.smpp.codec.command_status import RINVOPTPARSTREAM
from broadcast.smpp.codec.errors import PduError

RECEIPTED_MESSAGE_ID: Final = 0x001E
USER_MESSAGE_REFERENCE: Final = 0x0204
SC_INTERFACE_VERSION: Final = 0x0210
SAR_MSG_REF_NUM: Final = 0x020C
SAR_TOTAL_SEGMENTS: Final = 0x020E
SAR_SEGMENT_SEQNUM: Final = 0x020F
NETWORK_ERROR_CODE: Final = 0x0423
MESSAGE_PAYLOAD: Final = 0x0424
MESSAGE_STATE: Final = 0x0427
CONGESTION_STATE: Final = 0x0428

PARAMETERS_LIMIT: Final = 256
"""Optional parameters of one body; SMPP 5.0 has fewer than 100. A body of 64 KB has room for 16,000 empty ones."""

_HEAD: Final = struct.Struct(">HH")


def encode_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    """The optional part of a body, in the order given."""
    return b"".join([_HEAD.pack(tag, len(value)) + value for tag, value in tlvs])


def parse_tlvs(optional: bytes) -> dict[int, bytes]:
    """Tag to value; unknown tags pass (3.3), of a repeated tag the last stays.

    PduError when the lengths do not fit, or above `PARAMETERS_LIMIT`.
    """
    tlvs: dict[int, bytes] = {}
    offset, end = 0, len(optional)
    count = 0
    while offset < end:
        count += 1
        if count > PARAMETERS_LIMIT:
            raise PduError(f"more than {PARAMETERS_LIMIT} optional parameters", RINVOPTPARSTREAM)
        if end - offset < 4:
            raise PduError(f"{end - offset} octets after the last optional parameter", RINVOPTPARSTREAM)
        tag, length = _HEAD.unpack_from(optional, offset)
        offset += 4
        if offset + length > end:
            raise PduError(
                f"optional parameter 0x{tag:04X} wants {length} octets, has {end - offset}", RINVOPTPARSTREAM
            )
        tlvs[tag] = optional[offset : offset + length]
        offset += length
    return tlvs


def whole_tlvs(optional: bytes) -> int:
    """How many octets at the beginning are whole optional parameters, at most `PARAMETERS_LIMIT` of them."""
    offset, end = 0, len(optional)
    for _ in range(PARAMETERS_LIMIT):
        if end - offset < 4:
            break
        _, length = _HEAD.unpack_from(optional, offset)
        if offset + 4 + length > end:
            break
        offset += 4 + length
    return offset
