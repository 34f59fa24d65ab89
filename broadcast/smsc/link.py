"""One connection to the simulator: reads a buffer in one pass, answers it in one write."""

import asyncio
import struct
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final

from broadcast.smpp.codec.bind import parse_bind
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVCMDID, RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.errors import FrameError, PduError
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    BIND_RECEIVER,
    BIND_TRANSMITTER,
    BINDS,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    HEADER,
    HEADER_LENGTH,
    PDU_CAP,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    UNBIND_RESP,
    check_length,
    encode_pdu,
    iterate_runs,
)
from broadcast.smpp.codec.sequence import SequenceCounter
from broadcast.smpp.codec.tlv import SC_INTERFACE_VERSION, encode_tlvs
from broadcast.smsc.metrics import BindFigures
from broadcast.smsc.pdu_writer import Outbox
from broadcast.smsc.receipts import Run
from broadcast.smsc.submit_layout import Shape

if TYPE_CHECKING:
    from broadcast.smsc.account import Account
    from broadcast.smsc.simulator import Simulator

_ACKNOWLEDGEMENT: Final = struct.Struct(">IIIIB")
_MODES: Final = {BIND_RECEIVER: "receiver", BIND_TRANSMITTER: "transmitter"}
_SHAPES_CAP: Final = 64
_RETRYABLE: Final = frozenset([RTHROTTLED, RMSGQFUL, RX_T_APPN])


class Link(asyncio.Protocol):
    """From connection to bind to the end; a client that vanishes ends only its own link."""

    def __init__(self, simulator: "Simulator") -> None:
        self.figures: BindFigures | None = None
        self._simulator: Final = simulator
        self.account: Account | None = None
        self.outbox: Outbox
        self._rest = b""
        self._shapes: dict[int, list[Shape]] = {}
        self._sequences: Final = SequenceCounter()
        self._receipts: dict[int, tuple[Run, int]] = {}
        self._messages: set[int] = set()
        self._may_submit = self._may_receive = self._held = False

    @property
    def receipt_room(self) -> int:
        """How many receipts may be sent on this bind now."""
        if not self._may_receive or self._held:
            return 0
        return self._simulator.behaviour.receipt_window - len(self._receipts)

    def write(self, data: bytes | bytearray) -> None:
        """Send what is no answer to a submit."""
        self.outbox.write(data)

    def await_receipts(self, run: Run, start: int, count: int) -> Sequence[int]:
        """Sequence numbers for the run's receipts from `start`, kept until they are answered."""
        sequences = self._sequences.take(count, self._receipts.__contains__)
        self._receipts.update(zip(sequences, zip(repeat(run), range(start, start + count)), strict=False))
        return sequences

    def send_message(self, message: ShortMessage) -> None:
        """Send what a phone has sent."""
        sequence = self._sequences.take(1, self._receipts.__contains__)[0]
        self._messages.add(sequence)
        self.write(encode_pdu(DELIVER_SM, 0, sequence, encode_message(message)))

    def release(self) -> None:
        """Send the answers that were kept back while answers were paused."""
        self.outbox.release()

    def unbind(self) -> None:
        """Ask the client to go."""
        self.write(encode_pdu(UNBIND, 0, self._sequences.take(1, self._receipts.__contains__)[0]))

    def close(self) -> None:
        """Drop the connection, buffers and all."""
        self.outbox.transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.outbox = Outbox(transport, self._simulator, self._count_answers)  # type: ignore[arg-type]
        self._simulator.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._simulator.links.discard(self)
        self.outbox.stop()
        self._may_submit = self._may_receive = False
        if self.figures is not None:
            self.figures.bound = False
        if self.account is not None:
            self.account.links.remove(self)
            if self._simulator.behaviour.resend_receipts:
                # Before the rest: they were due before.
                for run, index in self._receipts.values():
                    self.account.owe(run.single(index, self._simulator.now()))
                self._simulator.figures.receipts_resent += len(self._receipts)
            self.account.pump()
        self._receipts.clear()

    def pause_writing(self) -> None:
        self._held = True

    def resume_writing(self) -> None:
        self._held = False
        if self.account is not None:
            self.account.pump()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        offset, end = 0, len(data)
        try:
            while end - offset >= HEADER_LENGTH:
                length, command, _, sequence = HEADER.unpack_from(data, offset)
                check_length(length, PDU_CAP)
                if offset + length > end:
                    break
                if command == SUBMIT_SM:
                    offset = self._read_submits(data, offset, length, sequence)
                elif command in {DELIVER_SM_RESP, DATA_SM_RESP}:
                    offset = self._read_acknowledgements(data, offset)
                else:
                    self._handle(command, sequence, data[offset + HEADER_LENGTH : offset + length])
                    offset += length
        except FrameError as error:
            self._simulator.figures.unreadable += 1
            self.write(encode_pdu(GENERIC_NACK, error.command_status, 0))
            self.outbox.transport.close()
            return
        self._rest = data[offset:]
        self.outbox.flush()
        if self.account is not None:
            self.account.pump()

    # Inside

    def _read_submits(self, data: bytes, offset: int, length: int, sequence: int) -> int:
        """Take a run of submits of one length and layout; returns the offset behind it."""
        if not self._may_submit:
            self._answer_alone(SUBMIT_SM | RESPONSE, RINVBNDSTS, sequence)
            return offset + length
        try:
            shape = self._find_shape(data, offset, length)
        except PduError as error:
            self._simulator.figures.unreadable += 1
            self._answer_alone(SUBMIT_SM | RESPONSE, error.command_status, sequence)
            return offset + length
        head, tail = shape.head, shape.tail
        for count, columns in iterate_runs(data, offset, length, shape.struct, SUBMIT_SM):
            _, _, _, sequences, heads, destinations, tails = columns
            if heads.count(head) != count or tails.count(tail) != count:
                fitting = 0
                while heads[fitting] == head and tails[fitting] == tail:
                    fitting += 1
                if fitting:
                    self._take(shape, sequences[:fitting], destinations[:fitting])
                return offset + fitting * length
            self._take(shape, sequences, destinations)
            offset += count * length
        return offset

    def _find_shape(self, data: bytes, offset: int, length: int) -> Shape:
        """The layout that fits the PDU at `offset`. PduError when it is no submit_sm."""
        shapes = self._shapes.setdefault(length, [])
        for position, shape in enumerate(shapes):
            if data.startswith(shape.head, offset + HEADER_LENGTH) and data.startswith(
                shape.tail, offset + length - len(shape.tail)
            ):
                if position:
                    shapes.insert(0, shapes.pop(position))
                return shape
        shape = Shape(data[offset : offset + length])
        shapes.insert(0, shape)
        del shapes[_SHAPES_CAP:]
        return shape

    def _take(self, shape: Shape, sequences: Sequence[int], destinations: Sequence[bytes]) -> None:
        figures = self.figures
        assert figures is not None  # noqa: S101 - bound, or it would not have come here
        figures.submits += len(sequences)
        figures.unanswered += len(sequences)
        figures.highest_unanswered = max(figures.highest_unanswered, figures.unanswered)
        self._simulator.take(self, shape, sequences, destinations)

    def _count_answers(self, count: int) -> None:
        if self.figures is not None:
            self.figures.unanswered -= count

    def _answer_alone(self, command: int, status: int, sequence: int) -> None:
        self.outbox.flush()
        self.write(encode_pdu(command, status, sequence))

    def _read_acknowledgements(self, data: bytes, offset: int) -> int:
        """Take a run of answers to receipts; returns the offset behind it."""
        length: int
        length, command, status, sequence = HEADER.unpack_from(data, offset)
        if length != _ACKNOWLEDGEMENT.size:
            self._acknowledge((sequence,), (status,))
            return offset + length
        for count, columns in iterate_runs(data, offset, length, _ACKNOWLEDGEMENT, command):
            self._acknowledge(columns[3], columns[2])
            offset += count * length
        return offset

    def _acknowledge(self, sequences: Sequence[int], statuses: Sequence[int]) -> None:
        totals = self._simulator.figures
        if self._messages:
            for sequence, status in zip(sequences, statuses, strict=True):
                if sequence in self._messages and status == ROK:
                    self._messages.discard(sequence)
                    totals.messages_answered += 1
        found = list(map(self._receipts.pop, sequences, repeat(None)))
        answered = len(found) - found.count(None)
        if statuses.count(ROK) == len(statuses):
            totals.receipts_answered += answered
            return
        for receipt, status in zip(found, statuses, strict=True):
            if receipt is None:
                continue
            if status == ROK:
                totals.receipts_answered += 1
            elif status in _RETRYABLE and self.account is not None:
                run, index = receipt
                due_at = self._simulator.now() + self._simulator.behaviour.receipt_retry_ms / 1000
                self.account.owe(run.single(index, due_at))
                totals.receipts_resent += 1
            else:
                totals.receipts_refused += 1

    def _handle(self, command: int, sequence: int, body: bytes) -> None:
        if command == ENQUIRE_LINK:
            self._simulator.figures.enquire_links += 1
            self.write(encode_pdu(ENQUIRE_LINK_RESP, 0, sequence))
        elif command in BINDS:
            self._bind(command, sequence, body)
        elif command == UNBIND:
            self.outbox.flush()
            self._may_submit = self._may_receive = False
            self.write(encode_pdu(UNBIND_RESP, 0, sequence))
            self.outbox.close()
        elif command == UNBIND_RESP:
            self.outbox.close()
        elif not command & RESPONSE:
            self._simulator.figures.unreadable += 1
            self.write(encode_pdu(GENERIC_NACK, RINVCMDID, sequence))

    def _bind(self, command: int, sequence: int, body: bytes) -> None:
        try:
            request = parse_bind(body)
        except PduError as error:
            self.write(encode_pdu(command | RESPONSE, error.command_status, sequence))
            return
        status = RINVBNDSTS if self.account is not None else self._simulator.judge_bind(request)
        if status:
            self._simulator.figures.binds_refused += 1
            self.write(encode_pdu(command | RESPONSE, status, sequence))
            return
        self._may_submit = command != BIND_RECEIVER
        self._may_receive = command != BIND_TRANSMITTER
        self.account, self.figures = self._simulator.admit(self, request, _MODES.get(command, "transceiver"))
        version = encode_tlvs([(SC_INTERFACE_VERSION, b"\x34")])
        self.write(encode_pdu(command | RESPONSE, 0, sequence, b"tocsin-smsc\0" + version))
