"""Receipts that the simulator sends, in batches, and their PDUs (SMPP 3.4, 4.6.1 and Appendix B)."""

import struct
import time
from collections.abc import Sequence
from typing import Final

from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import DELIVER_SM, HEADER, HEADER_LENGTH
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, encode_tlvs
from broadcast.smsc.submit_layout import SubmitLayout
from broadcast.smsc.submit_plan import mix

_STATES: Final = {
    MessageState.DELIVERED: (b"DELIVRD", b"001", b"000"),
    MessageState.UNDELIVERABLE: (b"UNDELIV", b"000", b"027"),
}


def format_ids(numbers: Sequence[int], form: str, modulus: int) -> list[bytes]:
    """Message ids from the simulator's own numbers: `decimal` (10 digits, as Appendix B), `hex` or `uuid`."""
    if modulus:
        numbers = [number % modulus for number in numbers]
    if form == "decimal":
        return [b"%010d" % number for number in numbers]
    if form == "hex":
        return [b"%08X" % number for number in numbers]
    return [
        b"%08x-%04x-4%03x-8%03x-%012x"
        % (mixed & 0xFFFFFFFF, mixed >> 32 & 0xFFFF, mixed >> 48 & 0xFFF, mixed >> 52, number & 0xFFFFFFFFFFFF)
        for number, mixed in zip(numbers, map(mix, numbers), strict=True)
    ]


class ReceiptBatch:
    """Receipts of one text and state that are due together; `message_numbers` has one number per destination.

    `sent` counts those at the start that have been sent.
    """

    __slots__ = ("destinations", "due_at", "layout", "message_numbers", "sent", "state", "submitted_at")

    def __init__(
        self,
        layout: SubmitLayout,
        message_numbers: Sequence[int],
        destinations: Sequence[int],
        *,
        due_at: float,
        submitted_at: float,
        state: MessageState = MessageState.DELIVERED,
    ) -> None:
        self.layout = layout
        self.message_numbers = message_numbers
        self.destinations = destinations
        self.due_at = due_at
        self.submitted_at = submitted_at
        self.state = state
        self.sent = 0

    def __len__(self) -> int:
        return len(self.destinations) - self.sent

    def __lt__(self, other: "ReceiptBatch") -> bool:
        return self.due_at < other.due_at

    def single(self, index: int, due_at: float) -> "ReceiptBatch":
        """A batch of the one receipt at `index`, to send it again."""
        return ReceiptBatch(
            self.layout,
            self.message_numbers[index : index + 1],
            self.destinations[index : index + 1],
            due_at=due_at,
            submitted_at=self.submitted_at,
            state=self.state,
        )


def format_date(at: float) -> bytes:
    """YYMMDDhhmm in UTC (Appendix B)."""
    return time.strftime("%y%m%d%H%M", time.gmtime(at)).encode()


_ReceiptLayout = tuple[bytes, struct.Struct, bytes, bytes, bytes]


def render_receipts(
    batch: ReceiptBatch, sequences: Sequence[int], ids: Sequence[bytes], *, done_at: float, tlvs: bool
) -> bytearray:
    """deliver_sm for the next len(sequences) receipts of the batch, as one piece."""
    layouts: dict[tuple[int, int], _ReceiptLayout] = {}
    destinations = [b"%d" % number for number in batch.destinations[batch.sent : batch.sent + len(sequences)]]
    buffer = bytearray()
    for sequence, destination, message_id in zip(sequences, destinations, ids, strict=True):
        key = (len(destination), len(message_id))
        layout = layouts.get(key)
        if layout is None:
            layout = layouts[key] = _make_layout(batch, *key, done_at, tlvs)
        pdu, struct_, before, between, middle = layout
        offset = len(buffer) + 12
        buffer += pdu
        if tlvs:
            struct_.pack_into(buffer, offset, sequence, before, destination, between, message_id, middle, message_id)
        else:
            struct_.pack_into(buffer, offset, sequence, before, destination, between, message_id)
    return buffer


def _make_layout(batch: ReceiptBatch, digits: int, width: int, done_at: float, tlvs: bool) -> _ReceiptLayout:
    """The PDU with blanks for a destination of `digits` and an id of `width` octets, and how to fill them."""
    stat, delivered, error = _STATES[batch.state]
    message = batch.layout.message
    marker, mark = b"\1" * digits, b"\2" * width
    optional = [(RECEIPTED_MESSAGE_ID, mark + b"\0"), (MESSAGE_STATE, bytes([batch.state]))] if tlvs else []
    text = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
        mark,
        delivered,
        format_date(batch.submitted_at),
        format_date(done_at),
        stat,
        error,
        message.short_message[:20] if not message.esm_class & 0x40 and message.data_coding == 0 else b"",
    )
    body = encode_message(
        ShortMessage(
            source_ton=message.destination_ton,
            source_npi=message.destination_npi,
            source=marker,
            destination_ton=message.source_ton,
            destination_npi=message.source_npi,
            destination=message.source,
            esm_class=0x04,
            short_message=text,
            optional=encode_tlvs(optional),
        )
    )
    pdu = HEADER.pack(HEADER_LENGTH + len(body), DELIVER_SM, 0, 0) + body
    # service_type is empty: its NUL, ton and npi stand before the source address.
    before = body[:3]
    id_at = body.index(b"id:" + mark, 3 + digits) + 3
    between = body[3 + digits : id_at]
    layout = f">I3s{digits}s{len(between)}s{width}s"
    if not tlvs:
        return pdu, struct.Struct(layout), before, between, b""
    tagged_at = body.rindex(mark + b"\0")
    middle = body[id_at + width : tagged_at]
    return pdu, struct.Struct(f"{layout}{len(middle)}s{width}s"), before, between, middle
