"""Receipts that the simulator sends, in batches, and their PDUs (SMPP 3.4, 4.6.1 and Appendix B)."""

import struct
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from broadcast.smpp.codec.message import RECEIPT_CLASS, ShortMessage, encode_message
from broadcast.smpp.codec.pdu import DATA_SM, DELIVER_SM, HEADER_LENGTH, encode_pdu
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID, encode_tlvs
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.submit_layout import SubmitLayout
from broadcast.smsc.submit_plan import STANDARD_FORM, ReceiptForm, mix

# Of the range that 3.4 leaves to vendors (5.3.1), and one that wants more octets than there are.
UNKNOWN_TAG: Final = 0x1500
MALFORMED_TLV: Final = b"\x15\x01\xff\xff\x01"

# stat of Appendix B, dlvrd and err by state.
STATS: Final[Mapping[MessageState, tuple[bytes, bytes, bytes]]] = {
    MessageState.SCHEDULED: (b"SCHEDULED", b"000", b"000"),
    MessageState.ENROUTE: (b"ENROUTE", b"000", b"000"),
    MessageState.DELIVERED: (b"DELIVRD", b"001", b"000"),
    MessageState.EXPIRED: (b"EXPIRED", b"000", b"003"),
    MessageState.DELETED: (b"DELETED", b"000", b"004"),
    MessageState.UNDELIVERABLE: (b"UNDELIV", b"000", b"027"),
    MessageState.ACCEPTED: (b"ACCEPTD", b"000", b"000"),
    MessageState.UNKNOWN: (b"UNKNOWN", b"000", b"255"),
    MessageState.REJECTED: (b"REJECTD", b"000", b"008"),
    MessageState.SKIPPED: (b"SKIPPED", b"000", b"009"),
}
# Numbers that the simulator never gives out, for receipts of an unknown id.
UNKNOWN_FROM: Final = 10**18
_LONG_ID: Final = 5_000
_LAYOUTS_KEPT: Final = 64


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


def write_ids(numbers: Sequence[int], form: ReceiptForm, behaviour: Behaviour) -> list[bytes]:
    """The ids as the receipts write them, which may differ from those of the responses."""
    given, modulus = behaviour.message_id_format, behaviour.message_id_modulus
    chosen = given if behaviour.receipt_id_format == "same" else behaviour.receipt_id_format
    match form.id:
        case "":
            return format_ids(numbers, chosen, modulus)
        case "decimal" | "hex":
            return format_ids(numbers, form.id, modulus)
        case "lower":
            return [each.lower() for each in format_ids(numbers, chosen, modulus)]
        case "upper":
            return [each.upper() for each in format_ids(numbers, chosen, modulus)]
        case "padded":
            return [each.rjust(20, b"0") for each in format_ids(numbers, chosen, modulus)]
        case "unpadded":
            return [each.lstrip(b"0") or b"0" for each in format_ids(numbers, chosen, modulus)]
        case "long":
            return [each.rjust(_LONG_ID, b"1") for each in format_ids(numbers, chosen, modulus)]
    return format_ids([UNKNOWN_FROM + number for number in numbers], chosen, 0)


class ReceiptBatch:
    """Receipts of one text and state that are due together; `message_numbers` has one number per destination.

    `sent` counts those at the start that have been sent.
    """

    __slots__ = ("destinations", "due_at", "form", "layout", "message_numbers", "sent", "state", "submitted_at")

    def __init__(
        self,
        layout: SubmitLayout,
        message_numbers: Sequence[int],
        destinations: Sequence[int],
        *,
        due_at: float,
        submitted_at: float,
        state: MessageState = MessageState.DELIVERED,
        form: ReceiptForm = STANDARD_FORM,
    ) -> None:
        self.layout = layout
        self.message_numbers = message_numbers
        self.destinations = destinations
        self.due_at = due_at
        self.submitted_at = submitted_at
        self.state = state
        self.form = form
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
            form=self.form,
        )


@lru_cache(maxsize=64)
def _format_minute(minute: int) -> bytes:
    return time.strftime("%y%m%d%H%M", time.gmtime(minute * 60)).encode()


def format_date(at: float) -> bytes:
    """YYMMDDhhmm in UTC (Appendix B)."""
    return _format_minute(int(at) // 60)


def format_seconds(at: float) -> bytes:
    """YYMMDDhhmmss in UTC, as many SMSCs write it."""
    return time.strftime("%y%m%d%H%M%S", time.gmtime(at)).encode()


_ReceiptLayout = tuple[bytes, struct.Struct, bytes, bytes, bytes]


def render_receipts(
    batch: ReceiptBatch, sequences: Sequence[int], ids: Sequence[bytes], *, done_at: float, tlvs: bool
) -> bytearray:
    """deliver_sm for the next len(sequences) receipts of the batch, as one piece."""
    destinations = [b"%d" % number for number in batch.destinations[batch.sent : batch.sent + len(sequences)]]
    buffer = bytearray()
    if batch.form is not STANDARD_FORM and batch.form._replace(id="") != STANDARD_FORM:
        for sequence, destination, message_id in zip(sequences, destinations, ids, strict=True):
            buffer += write_receipt(batch, sequence, destination, message_id, done_at=done_at, tlvs=tlvs)
        return buffer
    layouts: dict[object, _ReceiptLayout] = batch.layout.receipts
    dates = (format_date(batch.submitted_at), format_date(done_at))
    for sequence, destination, message_id in zip(sequences, destinations, ids, strict=True):
        key = (len(destination), len(message_id), batch.state, tlvs, dates)
        layout = layouts.get(key)
        if layout is None:
            if len(layouts) >= _LAYOUTS_KEPT:
                layouts.clear()
            layout = layouts[key] = _make_layout(batch, len(destination), len(message_id), done_at, tlvs)
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
    marker, mark = b"\1" * digits, b"\2" * width
    pdu = write_receipt(batch, 0, marker, mark, done_at=done_at, tlvs=tlvs)
    body = pdu[HEADER_LENGTH:]
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


def write_receipt(
    batch: ReceiptBatch, sequence: int, destination: bytes, message_id: bytes, *, done_at: float, tlvs: bool
) -> bytes:
    """One receipt in any form, as deliver_sm or data_sm."""
    form, message = batch.form, batch.layout.message
    text = write_text(batch, message_id, done_at)
    data_coding = 0
    if form.coding == "ucs2":
        text, data_coding = text.decode("latin-1").encode("utf-16-be"), 8
    elif form.coding == "latin1":
        data_coding = 3
    optional = write_tlvs(form.tlvs or ("standard" if tlvs else "none"), batch.state, message_id)
    esm_class = RECEIPT_CLASS if form.esm_class is None else form.esm_class
    payload = form.payload or form.pdu == "data_sm" or len(text) > 254
    if payload and text:
        # In front: what follows may be malformed on purpose.
        optional = encode_tlvs([(MESSAGE_PAYLOAD, text)]) + optional
        text = b""
    if form.pdu == "data_sm":
        body = b"\0%c%c%b\0%c%c%b\0%c\0%c" % (
            message.destination_ton,
            message.destination_npi,
            destination,
            message.source_ton,
            message.source_npi,
            message.source,
            esm_class,
            data_coding,
        )
        return encode_pdu(DATA_SM, 0, sequence, body + optional)
    body = encode_message(
        ShortMessage(
            source_ton=message.destination_ton,
            source_npi=message.destination_npi,
            source=destination,
            destination_ton=message.source_ton,
            destination_npi=message.source_npi,
            destination=message.source,
            esm_class=esm_class,
            data_coding=data_coding,
            short_message=text,
            optional=optional,
        )
    )
    return encode_pdu(DELIVER_SM, 0, sequence, body)


def write_text(batch: ReceiptBatch, message_id: bytes, done_at: float) -> bytes:
    """The text of a receipt in the form that the batch has."""
    stat, delivered, error = STATS[batch.state]
    error = batch.form.error.encode("latin-1") or error
    message = batch.layout.message
    match batch.form.text:
        case "standard":
            dates = (format_date(batch.submitted_at), format_date(done_at))
        case "seconds":
            dates = (format_seconds(batch.submitted_at), format_seconds(done_at))
        case "no_dates":
            return b"id:%b sub:001 dlvrd:%b stat:%b err:%b text:" % (message_id, delivered, stat, error)
        case "short":
            return b"id:%b stat:%b" % (message_id, stat)
        case "csv":
            return b"%b,001,%b,%b,%b,%b,%b," % (
                message_id,
                delivered,
                format_date(batch.submitted_at),
                format_date(done_at),
                stat,
                error,
            )
        case "garbage":
            return b"\x00\xff\x07 done"
        case _:
            return b""
    return b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
        message_id,
        delivered,
        *dates,
        stat,
        error,
        message.short_message[:20] if not message.esm_class & 0x40 and message.data_coding == 0 else b"",
    )


def write_tlvs(kind: str, state: MessageState, message_id: bytes) -> bytes:
    """The optional parameters of a receipt: standard, state_only, unknown, malformed or none."""
    standard = [(RECEIPTED_MESSAGE_ID, message_id + b"\0"), (MESSAGE_STATE, bytes([state]))]
    match kind:
        case "standard":
            return encode_tlvs(standard)
        case "state_only":
            return encode_tlvs(standard[1:])
        case "unknown":
            return encode_tlvs([(UNKNOWN_TAG, b"unknown"), *standard])
        case "malformed":
            return MALFORMED_TLV
    return b""
