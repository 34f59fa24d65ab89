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

_HEAD: Final = struct.Struct(">HH")


def encode_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    """The optional part of a body, in the order given."""
    return b"".join([_HEAD.pack(tag, len(value)) + value for tag, value in tlvs])


def parse_tlvs(optional: bytes) -> dict[int, bytes]:
    """Tag to value; unknown tags pass (3.3), of a repeated tag the last stays. PduError when the lengths do not fit."""
    tlvs: dict[int, bytes] = {}
    offset, end = 0, len(optional)
    while offset < end:
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
    """How many octets at the beginning are whole optional parameters."""
    offset, end = 0, len(optional)
    while end - offset >= 4:
        _, length = _HEAD.unpack_from(optional, offset)
        if offset + 4 + length > end:
            break
        offset += 4 + length
    return offset
