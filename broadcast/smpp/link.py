"""One TCP or TLS link to an SMSC: requests and their responses, enquire_link, unbind, timers (SMPP 3.4, 2.7, 7.2)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVCMDID, RUNKNOWNERR
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.pdu import (
    ALERT_NOTIFICATION,
    DATA_SM,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    OUTBIND,
    RESPONSE,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    SequenceCounter,
    encode_pdu,
)
from broadcast.smpp.codec.reader import Batch
from broadcast.smpp.errors import LinkLostError
from broadcast.smpp.incoming import Incoming

R = TypeVar("R")
# A whole window of long messages must fit, or the transport would pause writing before the window is full.
WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024
TICK_SECONDS: Final = 0.1
# After an unbind of the SMSC its answers to our submits are waited for before our unbind_resp, at most so long and no
# longer than the response timeout: the SMSC waits for the unbind_resp.
UNBIND_WAIT_SECONDS: Final = 5.0
# After our unbind_resp the SMSC should close the connection; this side does not wait longer for it.
UNBOUND_SECONDS: Final = 1.0
# An enquire_link that the SMSC has not answered when the next is due is missed; after two the link is dropped.
MISSED_LIMIT: Final = 2


class Link(asyncio.Protocol):
    """The part of a bind that is the same for every kind of message. `Session` adds submits and deliveries."""

    def __init__(self, config: BindConfig, clock: Callable[[], float], sequences: SequenceCounter | None) -> None:
        self.config: Final = config
        self.sequences: Final = sequences or SequenceCounter()
        self.closed: Final = asyncio.Event()
        self.unexpected: Counter[str] = Counter()
        # Called with the seconds from each enquire_link to its response.
        self.on_enquire_link_answered: Callable[[float], None] | None = None
        self._clock: Final = clock
        self._transport: asyncio.Transport | None = None
        self._bound = self._stopping = self._writing_paused = False
        self._error: SmppError | None = None
        self._requests: dict[int, asyncio.Future[Pdu]] = {}
        self._enquire_links: set[int] = set()
        self._received_at = self._enquire_link_at = clock()
        # The SMSC's unbind that is not answered yet, and until when it may wait; when it was answered.
        self._unbind_sequence: int | None = None
        self._unbind_until = 0.0
        self._unbound_at: float | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._incoming: Final = Incoming(config.pdu_cap, config.window, self._received_at, self._process)

    def _receive(self, batch: Batch, now: float) -> None:
        """Process the submit responses and deliveries of a received batch."""
        raise NotImplementedError

    def _check_timers(self, now: float) -> None:
        """Check the timers of the subclass."""
        raise NotImplementedError

    def _announce_room(self) -> None:
        """Have more submits written, as many as there is room for."""
        raise NotImplementedError

    def _report_loss(self, error: SmppError) -> None:
        """Report the end of the link. Called once, and only if it had been bound."""
        raise NotImplementedError

    def _settled(self) -> bool:
        """Whether nothing is outstanding that an unbind should wait for."""
        raise NotImplementedError

    def _in_use(self, sequence: int) -> bool:
        """Whether a request with this sequence number is unanswered."""
        return sequence in self._requests or sequence in self._enquire_links

    def _is_unasked(self, pdu: Pdu) -> bool:
        """Whether a PDU is neither a delivery nor an answer to a request of this side."""
        return pdu.command != DATA_SM and not (pdu.command & RESPONSE and self._in_use(pdu.sequence))

    async def request(self, command: int, body: bytes = b"") -> Pdu:
        """Send a request other than a submit, and wait for its response. SmppError when the link ends first."""
        sequence = self._take_sequence()
        future: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._requests[sequence] = future
        self._write(encode_pdu(command, 0, sequence, body))
        try:
            return await future
        finally:
            self._requests.pop(sequence, None)

    @property
    def error(self) -> SmppError | None:
        """Why the link was closed, or is being closed; None before."""
        return self._error

    def abort(self) -> None:
        """Close the link at once."""
        self._close(LinkLostError("aborted"))

    def tick(self, now: float) -> None:
        """Check all timers; called every 0.1 s. `now` is in seconds of the session's clock."""
        self._check_timers(now)
        self._answer_unbind(now)
        self._incoming.tick(now)
        if now - self._received_at >= self.config.inactivity_seconds:
            self._close(LinkLostError(f"nothing received for {self.config.inactivity_seconds} s"))
        elif self._unbound_at is not None and now - self._unbound_at >= UNBOUND_SECONDS:
            self._close(LinkLostError("unbound by the SMSC"))
        elif now - self._enquire_link_at >= self.config.enquire_link_seconds:
            if len(self._enquire_links) >= MISSED_LIMIT:
                self._close(LinkLostError(f"{MISSED_LIMIT} enquire_links without a response"))
                return
            self._enquire_link_at = now
            sequence = self._take_sequence()
            self._enquire_links.add(sequence)
            self._write(encode_pdu(ENQUIRE_LINK, 0, sequence))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio gives protocols of streams a Transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)  # type: ignore[attr-defined]
        self._incoming.connect(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._received_at = self._clock()
        self._incoming.add(data)

    def _process(self, batch: Batch) -> None:
        now = self._clock()
        try:
            if batch.others:
                self._process_others(batch, now)
            self._receive(batch, now)
        except Exception as error:
            # Not every batch is processed by the call of the transport, which would end the link itself.
            self._close(LinkLostError(f"what was received could not be processed: {error!r}"))
            raise
        if self._unbind_sequence is not None:
            self._answer_unbind(now)
        if self._writing_paused:
            self._limit_unread()
        if batch.error is not None:
            self._write(encode_pdu(GENERIC_NACK, batch.error.command_status, 0))
            self._close(batch.error)

    def _process_others(self, batch: Batch, now: float) -> None:
        # Counted before they are handled: what is answered is in use no more.
        unasked = sum(map(self._is_unasked, batch.others))
        if self._incoming.count_unasked(unasked, now):
            self.unexpected["flood"] += unasked
        for pdu in batch.others:
            self._handle(pdu, batch)

    def _limit_unread(self) -> None:
        """Read nothing from an SMSC that sends without reading: what it sends makes more answers for it to read."""
        if self._transport is not None and self._transport.get_write_buffer_size() > 2 * WRITE_BUFFER_BYTES:
            self._incoming.note_unread()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._incoming.note_read()
        self._announce_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = self._error or LinkLostError(f"link lost: {exc or 'closed by the SMSC'}")
        self._stopping = True
        self._transport = None
        if self._ticker is not None:
            self._ticker.cancel()
        # What the SMSC answered before the end is no unknown outcome.
        self._incoming.end(self._finish)

    def _finish(self) -> None:
        """Report the end of the link, when all that was received is processed."""
        error = self._error or LinkLostError("link lost")
        for future in self._requests.values():
            if not future.done():
                future.set_exception(error)
        self._requests.clear()
        self.closed.set()
        if self._bound:
            self._bound = False
            self._report_loss(error)

    def _start_ticking(self) -> None:
        self._received_at = self._enquire_link_at = self._clock()
        self._ticker = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick_again)

    def _tick_again(self) -> None:
        if not self.closed.is_set():
            self.tick(self._clock())
            self._ticker = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick_again)

    def _take_sequence(self) -> int:
        return self.sequences.take(1, self._in_use)[0]

    def _handle(self, pdu: Pdu, batch: Batch) -> None:
        command, sequence = pdu.command, pdu.sequence
        if sequence in self._requests and command & RESPONSE:
            future = self._requests[sequence]
            if not future.done():
                future.set_result(pdu)
        elif command == ENQUIRE_LINK:
            self._write(encode_pdu(ENQUIRE_LINK_RESP, 0, sequence))
        elif sequence in self._enquire_links and command & RESPONSE:
            # One response proves that the link works, so that those missed before it do not count.
            self._enquire_links.clear()
            if self.on_enquire_link_answered is not None:
                self.on_enquire_link_answered(self._clock() - self._enquire_link_at)
        elif command == UNBIND:
            self._stopping = True
            self._unbind_sequence = sequence
            self._unbind_until = self._clock() + min(UNBIND_WAIT_SECONDS, self.config.response_timeout_seconds)
        elif command == GENERIC_NACK:
            # It answers a submit like any response (4.3), but status 0 must not make it an acceptance.
            batch.sequences.append(sequence)
            batch.statuses.append(pdu.status or RUNKNOWNERR)
            batch.ids.append(b"")
        elif command == OUTBIND:
            # It asks for a bind and has no response (2.2.1): a bind is under way, or there already, an error.
            self.unexpected["request"] += 1
            if self._bound:
                self._write(encode_pdu(GENERIC_NACK, RINVBNDSTS, sequence))
        elif command & RESPONSE or command == ALERT_NOTIFICATION:
            self.unexpected["response" if command & RESPONSE else "request"] += 1
        else:
            self.unexpected["request"] += 1
            self._write(encode_pdu(GENERIC_NACK, RINVCMDID, sequence))

    def _answer_unbind(self, now: float) -> None:
        """Answer the SMSC's unbind when it has answered what this side wrote, or when it has had its time."""
        if self._unbind_sequence is not None and (now >= self._unbind_until or self._settled()):
            self._write(encode_pdu(UNBIND_RESP, 0, self._unbind_sequence))
            self._unbind_sequence, self._unbound_at = None, now

    def _write(self, data: bytes | bytearray) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _close(self, error: SmppError) -> None:
        self._stopping = True
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()


async def wait_within(awaitable: Awaitable[R], seconds: float) -> R | None:
    """The result, or None when it does not come within `seconds` or the link ends first."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await awaitable
    except (TimeoutError, SmppError):
        return None
