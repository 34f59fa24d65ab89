"""Reads what came from the SMSC, in one pass over each received buffer: bytes in, batches out."""

import struct
from collections.abc import Callable
from typing import Final

from broadcast.smpp.codec.delivery_runs import read_alike
from broadcast.smpp.codec.errors import FrameError, PduError
from broadcast.smpp.codec.message import Delivery, parse_data_message, parse_delivery, unreadable_delivery
from broadcast.smpp.codec.message_ids import LONGEST_ID
from broadcast.smpp.codec.pdu import (
    DATA_SM,
    DELIVER_SM,
    HEADER,
    HEADER_LENGTH,
    PDU_CAP,
    SUBMIT_SM_RESP,
    UNLIMITED,
    Pdu,
    check_length,
    iterate_runs,
)
from broadcast.smpp.codec.tlv import CONGESTION_STATE, parse_tlvs

# Response bodies are an id and its NUL, so a session has few lengths; the limit is against a hostile peer.
_LAYOUTS_LIMIT: Final = 256

LARGE_OCTETS: Final = 1_024
"""A delivery of more has a text in message_payload, or many optional parameters."""
_DELIVERIES: Final = frozenset([DELIVER_SM, DATA_SM])


class Batch:
    """The PDUs of one buffer by kind, each kind in the order received.

    `sequences`, `statuses` and `ids` are the columns of the submit responses (an id is empty where the response has no
    body); `congestion` is the congestion_state of the last of them that has one; deliveries whose body cannot be read
    say so (`Delivery.fault`), and `has_large` when one of them is of more than `LARGE_OCTETS`; `others` are all others.
    """

    __slots__ = ("congestion", "deliveries", "error", "has_large", "ids", "others", "sequences", "statuses")

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.statuses: list[int] = []
        self.ids: list[bytes] = []
        self.deliveries: list[Delivery] = []
        self.has_large = False
        self.others: list[Pdu] = []
        self.error: FrameError | None = None
        self.congestion: int | None = None


class Reader:
    """Reassembles PDUs across buffers: one read may hold half a PDU or a thousand."""

    __slots__ = ("_cap", "_layouts", "_rest", "has_more")

    def __init__(self, cap: int = PDU_CAP) -> None:
        self._cap = cap
        self._rest = b""
        self._layouts: dict[int, struct.Struct] = {}
        self.has_more = False
        """Whether the last `read` ended at its limit, so that there may be more PDUs."""

    @property
    def waiting(self) -> int:
        """Octets that are not read yet."""
        return len(self._rest)

    def add(self, data: bytes) -> None:
        """Keep what was received, to be read."""
        self._rest = self._rest + data if self._rest else data

    def feed(self, data: bytes) -> Batch:
        """The PDUs that `data` completes, as `read`."""
        self.add(data)
        return self.read()

    def read(self, most: int = UNLIMITED) -> Batch:
        """The next PDUs, at most so many.

        `Batch.error` is set when the stream has an impossible length: the PDUs before it are in the batch, nothing
        after it can be read.
        """
        data, room = self._rest, most
        batch = Batch()
        offset, end = 0, len(data)
        while end - offset >= HEADER_LENGTH and room > 0:
            length, command, status, sequence = HEADER.unpack_from(data, offset)
            try:
                check_length(length, self._cap)
            except FrameError as error:
                batch.error = error
                break
            stop = offset + length
            if stop > end:
                break
            if command == SUBMIT_SM_RESP:
                octets = self._read_responses(data, offset, length, batch, room)
                offset += octets
                room -= octets // length
                continue
            if length > LARGE_OCTETS and command in _DELIVERIES:
                batch.has_large = True
            if command == DELIVER_SM:
                delivery = _read_delivery(parse_delivery, data, offset, stop, sequence)
                batch.deliveries.append(delivery)
                if delivery.fault is None:
                    stop += read_alike(data, stop, length, delivery, batch.deliveries, most=room - 1)
            elif command == DATA_SM:
                batch.deliveries.append(_read_delivery(parse_data_message, data, offset, stop, sequence))
                batch.others.append(Pdu(command, status, sequence, b""))
            else:
                batch.others.append(Pdu(command, status, sequence, data[offset + HEADER_LENGTH : stop]))
            room -= (stop - offset) // length
            offset = stop
        self._rest = data[offset:]
        self.has_more = room <= 0 and end - offset >= HEADER_LENGTH
        return batch

    def _read_responses(self, data: bytes, offset: int, length: int, batch: Batch, most: int) -> int:
        """Read a run of at most so many submit_sm_resp of one length; returns how many octets it was."""
        if length < HEADER_LENGTH + 2:
            # No body, or an empty id: so the standard writes errors (4.4.2).
            _, _, status, sequence = HEADER.unpack_from(data, offset)
            batch.sequences.append(sequence)
            batch.statuses.append(status)
            batch.ids.append(b"")
            return length
        layout = self._layouts.get(length)
        if layout is None:
            layout = struct.Struct(f">IIII{length - HEADER_LENGTH - 1}sB")
            if len(self._layouts) < _LAYOUTS_LIMIT:
                self._layouts[length] = layout
        read, known = 0, len(batch.ids)
        runs = iterate_runs(data, offset, length, layout, SUBMIT_SM_RESP, most=most)
        for count, (_, _, statuses, sequences, ids, ends) in runs:
            read += count * length
            batch.statuses += statuses
            batch.sequences += sequences
            if ends.count(0) == count and 0 not in b"".join(ids):
                batch.ids += ids
            else:
                # Optional parameters after the id, or an id without its NUL.
                bodies = [(value + bytes([last])).partition(b"\0") for value, last in zip(ids, ends, strict=True)]
                batch.ids += [body[0] for body in bodies]
                batch.congestion = _read_congestion(bodies[-1][2], batch.congestion)
        if length > HEADER_LENGTH + LONGEST_ID:
            # No receipt with a longer id is read, so that the rest of it would only fill Kafka.
            batch.ids[known:] = [message_id[:LONGEST_ID] for message_id in batch.ids[known:]]
        return read


def _read_delivery(
    parse: Callable[[bytes, int, int, int], Delivery], data: bytes, offset: int, stop: int, sequence: int
) -> Delivery:
    try:
        return parse(data, offset + HEADER_LENGTH, stop, sequence)
    except PduError as error:
        return unreadable_delivery(data, offset + HEADER_LENGTH, stop, sequence, error)


def _read_congestion(optional: bytes, before: int | None) -> int | None:
    """The congestion_state among the optional parameters of a response; `before` when it has none to be read."""
    try:
        value = parse_tlvs(optional).get(CONGESTION_STATE, b"")
    except PduError:
        return before
    return min(value[0], 100) if len(value) == 1 else before
