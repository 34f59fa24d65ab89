"""One connection to the simulator: reads a buffer in one pass, and writes its responses together."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from broadcast.smpp.codec.bind import parse_bind
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVCMDID
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
from broadcast.smsc.accounts import Accounts, Bind
from broadcast.smsc.counts.violations import SequenceWatch, Violation
from broadcast.smsc.pdu_writer import PduWriter
from broadcast.smsc.pdus.receipts import ReceiptBatch
from broadcast.smsc.pdus.responses import BIND_BODIES
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.sent_deliveries import SentDeliveries
from broadcast.smsc.state import SmscState
from broadcast.smsc.submits import SubmitHandler

_ACKNOWLEDGEMENT: Final = struct.Struct(">IIIIB")
_MODES: Final = {BIND_RECEIVER: "receiver", BIND_TRANSMITTER: "transmitter"}
_LAYOUTS_CAP: Final = 64
# Until a timer looks again whether the behaviour wants what it is for.
_ASIDE_SECONDS: Final = 60.0


class Link(asyncio.Protocol):
    """One connection, before, during and after its bind; its end does not touch other connections."""

    # asyncio makes the protocol first and gives it its transport in connection_made.
    _writer: PduWriter

    def __init__(self, state: SmscState, accounts: Accounts, submits: SubmitHandler, port: str = "") -> None:
        """`port` is the `listener` of the profile's accounts; empty: the port of the process."""
        self._state: Final = state
        self._port: Final = port
        self._accounts: Final = accounts
        self._submits: Final = submits
        self._bind: Bind | None = None
        self._rest = b""
        self._layouts: dict[int, list[SubmitLayout]] = {}
        self._sent: Final = SentDeliveries(state, self._violate)
        self._watch: Final = SequenceWatch()
        self._enquiries: Final[dict[int, float]] = {}
        self._unbound = False
        self._received_at = state.now()
        # By what they call, so that each thing is planned once.
        self._timers: Final[dict[str, asyncio.TimerHandle]] = {}
        self._may_submit = self._may_receive = self._writing_paused = False

    @property
    def receipt_room(self) -> int:
        """How many receipts may be sent on this bind at this moment; 0 when it is not bound to receive."""
        if not self._may_receive or self._writing_paused:
            return 0
        return self._writer.account.behaviour.receipt_window - len(self._sent)

    def write(self, data: bytes | bytearray) -> None:
        """Send PDUs that are not responses to submits."""
        self._writer.write(data)

    def register_receipts(self, batch: ReceiptBatch, start: int, count: int) -> Sequence[int]:
        """Give the batch's receipts from `start` sequence numbers, and keep them until they are answered."""
        return self._sent.add_receipts(batch, start, count)

    def send_phone_message(self, message: ShortMessage) -> None:
        """Send a message from a phone as deliver_sm."""
        self.write(encode_pdu(DELIVER_SM, 0, self._sent.add_message(), encode_message(message)))

    def send_due_responses(self) -> None:
        """Send the responses that are due, after the behaviour has changed."""
        self._writer.send_due()

    @property
    def account(self) -> str:
        """The name of the account that is bound, empty before the bind."""
        return "" if self._bind is None else self._bind.account.name

    def unbind(self) -> None:
        """Ask the client to unbind."""
        self.write(encode_pdu(UNBIND, 0, self._sent.take_sequence()))

    def close(self) -> None:
        """Close the connection at once and discard what is not sent."""
        self._writer.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        account = self._accounts.on_port(self._port)
        self._writer = PduWriter(transport, account, self._state.now, self._count_responses)  # type: ignore[arg-type]
        self._state.connections.add(self)
        if account.behaviour.connections in {"closed", "refused"}:
            self._writer.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._state.connections.discard(self)
        lost = self._writer.discard()
        for timer in self._timers.values():
            timer.cancel()
        self._may_submit = self._may_receive = False
        if self._bind is not None:
            account, metrics = self._bind
            metrics.bound = False
            account.connections.remove(self)
            self._state.metrics.answers_lost += lost
            account.metrics.answers_lost += lost
            unanswered = tuple(self._sent.take_unanswered())
            if account.behaviour.resend_receipts:
                # At once, so that they are sent before receipts that are due later.
                for batch, index in unanswered:
                    account.schedule_receipts(batch.single(index, self._state.now()))
                self._state.metrics.receipts_resent += len(unanswered)
                account.metrics.receipts_resent += len(unanswered)
            account.send_due_receipts()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._bind is not None:
            self._bind.account.send_due_receipts()

    def data_received(self, data: bytes) -> None:
        if self._writer.account.watches_reading:
            behaviour = self._writer.account.behaviour
            if behaviour.connections == "ignored":
                return
            self._received_at = self._state.now()
            if behaviour.read_bytes_per_second:
                self._read_slowly(len(data) / behaviour.read_bytes_per_second)
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
            self._state.metrics.unreadable += 1
            self._violate(Violation.UNREADABLE, str(error))
            self.write(encode_pdu(GENERIC_NACK, error.command_status, 0))
            self._writer.transport.close()
            return
        self._rest = data[offset:]
        self._writer.flush()
        if self._bind is not None:
            self._bind.account.send_due_receipts()

    def _read_submits(self, data: bytes, offset: int, length: int, sequence: int) -> int:
        """Take consecutive submits of one length and layout; returns the offset behind them."""
        bind = self._bind
        if bind is None or not self._may_submit:
            kind = Violation.SUBMIT_UNBOUND if bind is None else Violation.SUBMIT_ON_RECEIVER
            self._violate(Violation.SUBMIT_AFTER_UNBIND if self._unbound else kind, f"sequence {sequence}")
            self._respond_alone(SUBMIT_SM | RESPONSE, RINVBNDSTS, sequence)
            return offset + length
        try:
            layout = self._find_layout(data, offset, length)
        except PduError as error:
            self._state.metrics.unreadable += 1
            self._violate(Violation.UNREADABLE, str(error))
            self._respond_alone(SUBMIT_SM | RESPONSE, error.command_status, sequence)
            return offset + length
        head, tail = layout.head, layout.tail
        for count, columns in iterate_runs(data, offset, length, layout.struct, SUBMIT_SM):
            _, _, _, sequences, heads, destinations, tails = columns
            if heads.count(head) != count or tails.count(tail) != count:
                fitting = 0
                while heads[fitting] == head and tails[fitting] == tail:
                    fitting += 1
                if fitting:
                    self._take(bind, layout, sequences[:fitting], destinations[:fitting])
                return offset + fitting * length
            self._take(bind, layout, sequences, destinations)
            offset += count * length
        return offset

    def _find_layout(self, data: bytes, offset: int, length: int) -> SubmitLayout:
        """The layout that fits the PDU at `offset`. PduError when it is not a submit_sm."""
        layouts = self._layouts.setdefault(length, [])
        for position, layout in enumerate(layouts):
            if data.startswith(layout.head, offset + HEADER_LENGTH) and data.startswith(
                layout.tail, offset + length - len(layout.tail)
            ):
                if position:
                    layouts.insert(0, layouts.pop(position))
                return layout
        layout = SubmitLayout(data[offset : offset + length])
        layouts.insert(0, layout)
        del layouts[_LAYOUTS_CAP:]
        return layout

    def _take(self, bind: Bind, layout: SubmitLayout, sequences: Sequence[int], destinations: Sequence[bytes]) -> None:
        metrics = bind.metrics
        metrics.submits += len(sequences)
        metrics.unanswered += len(sequences)
        metrics.highest_unanswered = max(metrics.highest_unanswered, metrics.unanswered)
        if not self._watch.ascend(sequences, each=not bind.account.plain):
            self._check_sequences(sequences)
        self._submits.take(bind, self._writer, layout, sequences, destinations)

    def _check_sequences(self, sequences: Sequence[int]) -> None:
        for sequence in self._watch.check_each(sequences):
            kind = Violation.SEQUENCE_NOT_ASCENDING
            if sequence == 0:
                kind = Violation.SEQUENCE_ZERO
            elif self._writer.has_unsent(sequence) or sequences.count(sequence) > 1:
                kind = Violation.SEQUENCE_REUSED
            self._violate(kind, f"sequence {sequence}")

    def _violate(self, kind: Violation, detail: str) -> None:
        account, bind = ("", 0) if self._bind is None else (self._bind.account.name, self._bind.metrics.number)
        self._state.violate(kind, account, bind, detail)

    def _read_slowly(self, seconds: float) -> None:
        """Read nothing for so long, as an SMSC that is slower than its client."""
        transport = self._writer.transport
        if isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()
            self._call_later("read", seconds, self._read_again)

    def _call_later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Call it once the time has passed, unless the connection ends before."""
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, callback)

    def _read_again(self) -> None:
        transport = self._writer.transport
        if isinstance(transport, asyncio.ReadTransport) and not transport.is_closing():
            transport.resume_reading()

    def _count_responses(self, count: int) -> None:
        if self._bind is not None:
            self._bind.metrics.unanswered -= count

    def _respond_alone(self, command: int, status: int, sequence: int) -> None:
        self._writer.flush()
        self.write(encode_pdu(command, status, sequence))

    def _read_acknowledgements(self, data: bytes, offset: int) -> int:
        """Take consecutive answers to receipts; returns the offset behind them."""
        length: int
        length, command, status, sequence = HEADER.unpack_from(data, offset)
        if length != _ACKNOWLEDGEMENT.size:
            self._acknowledge(command, (sequence,), (status,))
            return offset + length
        for count, columns in iterate_runs(data, offset, length, _ACKNOWLEDGEMENT, command):
            self._acknowledge(command, columns[3], columns[2])
            offset += count * length
        return offset

    def _acknowledge(self, command: int, sequences: Sequence[int], statuses: Sequence[int]) -> None:
        if self._bind is None:
            self._violate(Violation.ANSWER_UNEXPECTED, f"sequence {sequences[0]}, not bound")
            return
        self._sent.acknowledge(self._bind, command, sequences, statuses)

    def _handle(self, command: int, sequence: int, body: bytes) -> None:
        if not command & RESPONSE and not self._watch.ascend((sequence,)):
            self._check_sequences((sequence,))
        if command == ENQUIRE_LINK:
            self._state.metrics.enquire_links += 1
            self.write(encode_pdu(ENQUIRE_LINK_RESP, 0, sequence))
        elif command in BINDS:
            self._accept_bind(command, sequence, body)
        elif command == UNBIND:
            self._writer.flush()
            self._may_submit = self._may_receive = False
            self._unbound = True
            self.write(encode_pdu(UNBIND_RESP, 0, sequence))
            self._writer.close()
        elif command == UNBIND_RESP:
            self._writer.close()
        elif command == ENQUIRE_LINK_RESP:
            self._enquiries.pop(sequence, None)
        elif not command & RESPONSE:
            self._state.metrics.unreadable += 1
            self._violate(Violation.UNKNOWN_COMMAND, f"command_id 0x{command:08X}")
            self.write(encode_pdu(GENERIC_NACK, RINVCMDID, sequence))

    def _accept_bind(self, command: int, sequence: int, body: bytes) -> None:
        try:
            request = parse_bind(body)
        except PduError as error:
            self.write(encode_pdu(command | RESPONSE, error.command_status, sequence))
            return
        mode = _MODES.get(command, "transceiver")
        account = self._accounts.find(request, self._port)
        if self._bind is not None:
            self._violate(Violation.BIND_TWICE, f"sequence {sequence}")
        status = RINVBNDSTS if self._bind is not None else self._accounts.check_bind(request, mode, account)
        if status or account is None:
            self._state.metrics.binds_refused += 1
            if account is not None:
                account.metrics.binds_refused += 1
            self.write(encode_pdu(command | RESPONSE, status, sequence))
            return
        self._writer.account = account
        if account.behaviour.connections in {"closed", "refused"}:
            self._writer.close()
            return
        behaviour = account.behaviour
        response = encode_pdu(command | RESPONSE, 0, sequence, BIND_BODIES[behaviour.bind_response])
        self._bind = self._accounts.add_bind(self, request, mode, account)
        if behaviour.bind_delay_ms:
            self._call_later("bind", behaviour.bind_delay_ms / 1000, partial(self._begin, command, response))
        else:
            self._begin(command, response)

    def _begin(self, command: int, response: bytes) -> None:
        """Answer the bind; from now on the client may submit, and gets receipts."""
        self._may_submit = command != BIND_RECEIVER
        self._may_receive = command != BIND_TRANSMITTER
        self.write(response)
        behaviour = self._writer.account.behaviour
        if behaviour.enquire_link_seconds:
            self._call_later("enquire", behaviour.enquire_link_seconds, self._enquire)
        if behaviour.inactivity_seconds:
            self._call_later("inactivity", behaviour.inactivity_seconds, self._end_if_inactive)

    def send_request(self, command: int, body: bytes = b"") -> None:
        """Send a request of the SMSC: outbind or enquire_link."""
        sequence = self._sent.take_sequence()
        if command == ENQUIRE_LINK:
            self._enquiries[sequence] = self._state.now()
        self.write(encode_pdu(command, 0, sequence, body))

    def _enquire(self) -> None:
        """Send the periodic enquire_link; the last one must have been answered."""
        seconds = self._writer.account.behaviour.enquire_link_seconds or _ASIDE_SECONDS
        # An event of the profile may have sent one a moment ago.
        old = [sequence for sequence, at in self._enquiries.items() if at < self._state.now() - seconds / 2]
        if old:
            self._violate(Violation.ENQUIRE_LINK_UNANSWERED, f"{len(old)} unanswered")
            self._enquiries.clear()
        self.send_request(ENQUIRE_LINK)
        self._call_later("enquire", seconds, self._enquire)

    def _end_if_inactive(self) -> None:
        """Close the connection when the client has sent nothing for too long."""
        limit = self._writer.account.behaviour.inactivity_seconds
        silent = self._state.now() - self._received_at
        if limit and silent >= limit:
            self._writer.close()
            return
        self._call_later("inactivity", max(0.01, (limit or _ASIDE_SECONDS) - silent), self._end_if_inactive)
