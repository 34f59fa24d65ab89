"""Receipts that the simulator sends, in batches, and their PDUs (SMPP 3.4, 4.6.1 and Appendix B)."""

import struct
from collections.abc import Hashable, Sequence
from typing import Final

from broadcast.smpp.codec.message import RECEIPT_CLASS, ShortMessage, encode_message
from broadcast.smpp.codec.pdu import DATA_SM, DELIVER_SM, HEADER_LENGTH, encode_pdu
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, encode_tlvs
from broadcast.smsc.pdus.receipt_texts import format_date, write_text, write_tlvs
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.submit_plan import STANDARD_FORM, ReceiptForm

_LAYOUTS_KEPT: Final = 64


class ReceiptBatch:
    """Receipts of one text and state that are due together; `message_numbers` has one number per destination.

    `sent` counts those at the start that have been sent. By its `key` the queue finds a batch that may still grow.
    """

    __slots__ = ("destinations", "due_at", "form", "key", "layout", "message_numbers", "sent", "state", "submitted_at")

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
        key: Hashable = None,
    ) -> None:
        self.layout = layout
        self.message_numbers = message_numbers
        self.destinations = destinations
        self.due_at = due_at
        self.submitted_at = submitted_at
        self.state = state
        self.form = form
        self.key = key
        self.sent = 0

    def __len__(self) -> int:
        return len(self.destinations) - self.sent

    def extend(self, message_numbers: Sequence[int], destinations: Sequence[int]) -> None:
        """Take more receipts; this batch was made with lists."""
        for own, added in ((self.message_numbers, message_numbers), (self.destinations, destinations)):
            if not isinstance(own, list):
                raise TypeError("only a batch that was made with lists can grow")
            own.extend(added)

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
    widths = list(zip(map(len, destinations), map(len, ids), strict=True))
    start, count = 0, len(widths)
    alike = widths.count(widths[0]) == count
    while start < count:
        width = widths[start]
        stop = count if alike else next((place for place in range(start, count) if widths[place] != width), count)
        key = (width, batch.state, tlvs, dates)
        layout = layouts.get(key)
        if layout is None:
            if len(layouts) >= _LAYOUTS_KEPT:
                layouts.clear()
            layout = layouts[key] = _make_layout(batch, *width, done_at, tlvs)
        buffer += _fill(layout, sequences[start:stop], destinations[start:stop], ids[start:stop])
        start = stop
    return buffer


def _fill(
    layout: _ReceiptLayout, sequences: Sequence[int], destinations: Sequence[bytes], ids: Sequence[bytes]
) -> bytearray:
    pdu, struct_, before, between, middle = layout
    buffer = bytearray(pdu) * len(ids)
    pack_into = struct_.pack_into
    places = zip(range(12, len(buffer), len(pdu)), sequences, destinations, ids, strict=True)
    if middle:
        for offset, sequence, destination, message_id in places:
            pack_into(buffer, offset, sequence, before, destination, between, message_id, middle, message_id)
    else:
        for offset, sequence, destination, message_id in places:
            pack_into(buffer, offset, sequence, before, destination, between, message_id)
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
    text = write_text(form, message, batch.state, message_id, submitted_at=batch.submitted_at, done_at=done_at)
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
