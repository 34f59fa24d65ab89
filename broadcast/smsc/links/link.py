"""One connection to the simulator: reads a buffer in one pass, and writes its responses together."""

import asyncio
from collections.abc import Sequence
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
)
from broadcast.smsc.accounts import Accounts, Bind
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.links.link_timers import LinkTimers
from broadcast.smsc.links.sent_deliveries import SentDeliveries
from broadcast.smsc.links.submit_reader import SubmitReader
from broadcast.smsc.pdu_writer import PduWriter
from broadcast.smsc.pdus.receipts import ReceiptBatch
from broadcast.smsc.pdus.responses import BIND_BODIES
from broadcast.smsc.state import SmscState
from broadcast.smsc.submits import SubmitHandler

_MODES: Final = {BIND_RECEIVER: "receiver", BIND_TRANSMITTER: "transmitter"}


class Link(asyncio.Protocol):
    """One connection, before, during and after its bind; its end does not touch other connections."""

    # asyncio makes the protocol first and gives it its transport in connection_made.
    _writer: PduWriter
    _reader: SubmitReader
    _timers: LinkTimers

    def __init__(self, state: SmscState, accounts: Accounts, submits: SubmitHandler, port: str = "") -> None:
        """`port` is the `listener` of the profile's accounts; empty: the port of the process."""
        self._state: Final = state
        self._port: Final = port
        self._accounts: Final = accounts
        self._submits: Final = submits
        self._bind: Bind | None = None
        self._rest = b""
        self._sent: Final = SentDeliveries(state, self.violate)
        self._unbound = False
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
        self._reader = SubmitReader(self._submits, self._writer, self.violate)
        self._timers = LinkTimers(self, self._writer, self._state.now)
        self._state.connections.add(self)
        if account.behaviour.connections in {"closed", "refused"}:
            self._writer.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._state.connections.discard(self)
        lost = self._writer.discard()
        self._timers.cancel()
        self._may_submit = self._may_receive = False
        if self._bind is not None:
            account, metrics = self._bind
            metrics.bound = False
            account.connections.remove(self)
            self._state.metrics.answers_lost += lost
            account.metrics.answers_lost += lost
            self._sent.return_unanswered(self._bind)
            account.receipts.send_due()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._bind is not None:
            self._bind.account.receipts.send_due()

    def data_received(self, data: bytes) -> None:
        self._writer.received_at = self._state.now()
        if self._writer.account.watches_reading:
            if self._writer.account.behaviour.connections == "ignored":
                return
            self._timers.note_received(len(data))
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
                    offset = self._sent.read_answers(self._bind, data, offset)
                else:
                    self._handle(command, sequence, data[offset + HEADER_LENGTH : offset + length])
                    offset += length
        except FrameError as error:
            self._state.metrics.unreadable += 1
            self.violate(Violation.UNREADABLE, str(error))
            self.write(encode_pdu(GENERIC_NACK, error.command_status, 0))
            self._writer.transport.close()
            return
        self._rest = data[offset:]
        self._writer.flush()
        if self._bind is not None:
            self._bind.account.receipts.send_due()

    def _read_submits(self, data: bytes, offset: int, length: int, sequence: int) -> int:
        """Take consecutive submits of one length and layout; returns the offset behind them."""
        bind = self._bind
        if bind is None or not self._may_submit:
            kind = Violation.SUBMIT_UNBOUND if bind is None else Violation.SUBMIT_ON_RECEIVER
            self.violate(Violation.SUBMIT_AFTER_UNBIND if self._unbound else kind, f"sequence {sequence}")
            self._writer.write_behind(encode_pdu(SUBMIT_SM | RESPONSE, RINVBNDSTS, sequence))
            return offset + length
        try:
            return self._reader.read(bind, data, offset, length)
        except PduError as error:
            self._state.metrics.unreadable += 1
            self.violate(Violation.UNREADABLE, str(error))
            self._writer.write_behind(encode_pdu(SUBMIT_SM | RESPONSE, error.command_status, sequence))
            return offset + length

    def violate(self, kind: Violation, detail: str) -> None:
        account, bind = ("", 0) if self._bind is None else (self._bind.account.name, self._bind.metrics.number)
        self._state.violate(kind, account, bind, detail)

    def _count_responses(self, count: int) -> None:
        if self._bind is not None:
            self._bind.metrics.unanswered -= count

    def _handle(self, command: int, sequence: int, body: bytes) -> None:
        if not command & RESPONSE:
            self._reader.check_sequence(sequence)
        if command == ENQUIRE_LINK:
            self._state.metrics.enquire_links += 1
            self.write(encode_pdu(ENQUIRE_LINK_RESP, 0, sequence))
        elif command in BINDS:
            self._accept_bind(command, sequence, body)
        elif command == UNBIND:
            self._may_submit = self._may_receive = False
            self._unbound = True
            self._writer.write_behind(encode_pdu(UNBIND_RESP, 0, sequence))
            self._writer.close()
        elif command == UNBIND_RESP:
            self._writer.close()
        elif command == ENQUIRE_LINK_RESP:
            self._timers.note_enquiry_answered(sequence)
        elif not command & RESPONSE:
            self._state.metrics.unreadable += 1
            self.violate(Violation.UNKNOWN_COMMAND, f"command_id 0x{command:08X}")
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
            self.violate(Violation.BIND_TWICE, f"sequence {sequence}")
        status = RINVBNDSTS if self._bind is not None else self._accounts.check_bind(request, mode, account)
        if status or account is None:
            self._accounts.count_refused(account)
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
            self._timers.call_later("bind", behaviour.bind_delay_ms / 1000, partial(self._begin, command, response))
        else:
            self._begin(command, response)

    def _begin(self, command: int, response: bytes) -> None:
        """Answer the bind; from now on the client may submit, and gets receipts."""
        self._may_submit = command != BIND_RECEIVER
        self._may_receive = command != BIND_TRANSMITTER
        self.write(response)
        self._timers.start()

    def send_request(self, command: int, body: bytes = b"") -> None:
        """Send a request of the SMSC: outbind or enquire_link."""
        sequence = self._sent.take_sequence()
        if command == ENQUIRE_LINK:
            self._timers.note_enquiry(sequence)
        self.write(encode_pdu(command, 0, sequence, body))
