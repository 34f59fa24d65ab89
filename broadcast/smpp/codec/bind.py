"""bind_transmitter, bind_receiver, bind_transceiver and their responses (SMPP 3.4, 4.1)."""

from typing import Final, NamedTuple

from broadcast.smpp.codec.command_status import RINVCMDLEN
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.pdu import read_cstring
from broadcast.smpp.codec.tlv import parse_tlvs

SIMULATOR_SYSTEM_ID: Final = b"tocsin-smsc"
"""What our SMSC simulator calls itself in the response to a bind, so that nobody takes it for an SMSC."""


class BindRequest(NamedTuple):
    """The body of a bind; the strings without their NUL."""

    system_id: bytes
    password: bytes
    system_type: bytes = b""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: bytes = b""


class BindResponse(NamedTuple):
    """The body of a bind response; empty where the SMSC sent none."""

    system_id: bytes
    tlvs: dict[int, bytes]


def encode_bind(request: BindRequest) -> bytes:
    """The body of a bind."""
    return b"%b\0%b\0%b\0%c%c%c%b\0" % request


def parse_bind(body: bytes) -> BindRequest:
    """Read the body of a bind. PduError when a field is missing."""
    system_id, offset = read_cstring(body, 0, "system_id", 16)
    # 3.4 allows 9 octets; real SMSCs accept longer passwords.
    password, offset = read_cstring(body, offset, "password", 65)
    system_type, offset = read_cstring(body, offset, "system_type", 13)
    if offset + 3 > len(body):
        raise PduError("bind ends before address_range", RINVCMDLEN)
    version, ton, npi = body[offset : offset + 3]
    address_range, _ = read_cstring(body, offset + 3, "address_range", 41)
    return BindRequest(system_id, password, system_type, version, ton, npi, address_range)


def parse_bind_response(body: bytes) -> BindResponse:
    """Read the body of a bind response; whatever is wrong with it, the command_status alone says whether it is bound.

    No body is an empty one (4.1.2 leaves it out with an error), a system_id without NUL reaches to the end, and
    optional parameters that cannot be read are none.
    """
    system_id, _, optional = body.partition(b"\0")
    try:
        tlvs = parse_tlvs(optional)
    except PduError:
        tlvs = {}
    return BindResponse(system_id, tlvs)
