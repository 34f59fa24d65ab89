"""Responses to submits: accepted, refused, with all that an SMSC may do to them (SMPP 3.4, 4.4.2)."""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from broadcast.smpp.codec.bind import SIMULATOR_SYSTEM_ID
from broadcast.smpp.codec.command_status import ROK
from broadcast.smpp.codec.pdu import GENERIC_NACK, HEADER, HEADER_LENGTH, SUBMIT_SM_RESP, encode_pdu
from broadcast.smpp.codec.tlv import CONGESTION_STATE, SC_INTERFACE_VERSION, encode_tlvs
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.pdus.receipt_texts import MALFORMED_TLV, UNKNOWN_TAG, format_ids
from broadcast.smsc.submit_plan import SubmitPlan

# Of congestion_state, SMPP 5.0: 80 to 89 is the best, 90 to 99 says that congestion is near.
_CONGESTION_AT_RATE: Final = 90
_TLVS: Final = {"none": b"", "unknown": encode_tlvs([(UNKNOWN_TAG, b"unknown")]), "malformed": MALFORMED_TLV}


_VERSION: Final = encode_tlvs([(SC_INTERFACE_VERSION, b"\x34")])
# The body of a bind_resp, by `bind_response`.
BIND_BODIES: Final = {
    "standard": SIMULATOR_SYSTEM_ID + b"\0" + _VERSION,
    "no_nul": SIMULATOR_SYSTEM_ID,
    "no_body": b"",
    "unknown_tlvs": SIMULATOR_SYSTEM_ID + b"\0" + encode_tlvs([(UNKNOWN_TAG, b"unknown")]) + _VERSION,
    "malformed_tlvs": SIMULATOR_SYSTEM_ID + b"\0" + MALFORMED_TLV,
}


class ResponseWriter(Protocol):
    """What sends responses, in their order or later."""

    def add_responses(self, data: bytes | bytearray, count: int) -> None:
        """Add responses to `count` submits to those that are sent next."""

    def add_delayed(self, data: bytes, delay: float, cut: str = "") -> None:
        """Send the response to one submit after `delay` seconds; `cut`: the connection ends with it."""


def render_error(behaviour: Behaviour, sequence: int, plan: SubmitPlan) -> bytes:
    """A submit_sm_resp or generic_nack that refuses, with or without a body."""
    if plan.nack:
        return encode_pdu(GENERIC_NACK, plan.status, sequence)
    match plan.body or behaviour.error_body:
        case "empty":
            body = b"\0"
        case "id":
            body = b"%010d\0" % sequence
        case "garbage":
            body = b"\xff\xfe\0\x01no id"
        case _:
            body = b""
    return encode_pdu(SUBMIT_SM_RESP, plan.status, sequence, body + _TLVS[plan.tlvs])


def render_answer(behaviour: Behaviour, sequence: int, number: int, plan: SubmitPlan, tail: bytes) -> bytes:
    """A submit_sm_resp that accepts, with what the plan adds."""
    message_id = format_ids((number,), behaviour.message_id_format, behaviour.message_id_modulus)[0]
    match plan.body:
        case "":
            body = message_id + b"\0"
        case "none":
            return encode_pdu(SUBMIT_SM_RESP, ROK, sequence)
        case "empty":
            body = b"\0"
        case "garbage":
            body = b"\xff\xfe" + message_id
        case _:
            body = message_id + b"\0"
    return encode_pdu(SUBMIT_SM_RESP, ROK, sequence, body + tail + _TLVS[plan.tlvs])


def render_accepted(behaviour: Behaviour, sequences: Sequence[int], numbers: Sequence[int]) -> bytes | bytearray:
    """submit_sm_resp for each, as one piece; `numbers` ascend."""
    ids = format_ids(numbers, behaviour.message_id_format, behaviour.message_id_modulus)
    width = len(ids[0])
    # Ids of ascending numbers get longer only, but for those that begin again.
    if len(ids[-1]) != width or (behaviour.message_id_modulus and len(set(map(len, ids))) > 1):
        return b"".join(
            [
                HEADER.pack(HEADER_LENGTH + len(each) + 1, SUBMIT_SM_RESP, ROK, sequence) + each + b"\0"
                for sequence, each in zip(sequences, ids, strict=True)
            ]
        )
    pdu, pack_into = _accepting(width)
    length = len(pdu)
    block = bytearray(pdu) * len(ids)
    for offset, sequence, message_id in zip(range(12, len(block), length), sequences, ids, strict=True):
        pack_into(block, offset, sequence, message_id)
    return block


@lru_cache(maxsize=64)
def _accepting(width: int) -> tuple[bytes, Callable[..., None]]:
    """A submit_sm_resp with room for an id of `width` octets, and what packs sequence number and id into it."""
    pdu = HEADER.pack(HEADER_LENGTH + width + 1, SUBMIT_SM_RESP, ROK, 0) + bytes(width + 1)
    return pdu, struct.Struct(f">I{width}s").pack_into


def render_congestion(load: int, most: float) -> bytes:
    """congestion_state by the submits of the last second, as an optional parameter; empty if not wanted."""
    if not most:
        return b""
    state = min(100, int(load / most * _CONGESTION_AT_RATE))
    return encode_tlvs([(CONGESTION_STATE, bytes([state]))])


class Responses:
    """The responses to some submits, in their order: those that are alike are rendered together."""

    def __init__(self, behaviour: Behaviour, writer: ResponseWriter, tail: bytes) -> None:
        self._behaviour: Final = behaviour
        self._writer: Final = writer
        self._tail: Final = tail
        self._constant: Final = behaviour.delay_ms / 1000
        self._in_order: Final = behaviour.answer_order == "due"
        self._alike: list[tuple[int, int]] = []

    def accept(self, sequence: int, number: int, plan: SubmitPlan, delay: float) -> None:
        """Accept a submit as its plan says, after `delay` seconds."""
        if (
            self._in_order
            and not (delay or plan.cut or plan.body or self._tail)
            and plan.answers == 1
            and plan.tlvs == "none"
        ):
            self._alike.append((sequence, number))
        else:
            data = render_answer(self._behaviour, sequence, number, plan, self._tail)
            self.add(data * plan.answers, plan, delay)

    def add(self, data: bytes, plan: SubmitPlan, delay: float) -> None:
        """Send this response when its plan says, after `delay` seconds."""
        if self._alike:
            self.end()
        if self._in_order and not (delay or plan.cut):
            self._writer.add_responses(data, 1)
        else:
            self._writer.add_delayed(data, self._constant + delay, plan.cut)

    def end(self) -> None:
        """Give the writer what was collected."""
        if self._alike:
            sequences, numbers = zip(*self._alike, strict=True)
            self._writer.add_responses(render_accepted(self._behaviour, sequences, numbers), len(self._alike))
            self._alike.clear()
