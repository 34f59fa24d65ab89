"""One TCP or TLS link to an SMSC: requests and their responses, enquire_link, unbind, timers (SMPP 3.4, 2.7, 7.2)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.command_status import RINVCMDID, RUNKNOWNERR
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.pdu import (
    ALERT_NOTIFICATION,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    RESPONSE,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    encode_pdu,
)
from broadcast.smpp.codec.reader import Batch, Reader
from broadcast.smpp.codec.sequence import SequenceCounter
from broadcast.smpp.errors import LinkLostError

R = TypeVar("R")
# A window of long messages must fit, or the transport would hold up what the window has admitted.
WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024
TICK_SECONDS: Final = 0.1
# After our unbind_resp the SMSC should close; we do not wait for it longer than this.
UNBOUND_SECONDS: Final = 1.0
# An enquire_link that the SMSC has not answered when the next is due is missed; after two the link is dropped.
MISSED_LIMIT: Final = 2


class Link(asyncio.Protocol):
    """What every bind does whatever it carries. `Session` adds submits and deliveries."""

    def __init__(self, config: BindConfig, clock: Callable[[], float], sequences: SequenceCounter | None) -> None:
        self.config: Final = config
        self.sequences: Final = sequences or SequenceCounter()
        self.closed: Final = asyncio.Event()
        self.unexpected: Counter[str] = Counter()
        # Hears how long each enquire_link took, in seconds.
        self.on_enquired: Callable[[float], None] | None = None
        self._clock: Final = clock
        self._reader: Final = Reader(config.pdu_cap)
        self._transport: asyncio.Transport | None = None
        self._bound = self._stopping = self._held = False
        self._error: SmppError | None = None
        self._awaited: dict[int, asyncio.Future[Pdu]] = {}
        self._enquiries: set[int] = set()
        self._heard_at = self._enquired_at = clock()
        self._unbound_at: float | None = None
        self._ticker: asyncio.TimerHandle | None = None

    # For those who add to it

    def _receive(self, batch: Batch, now: float) -> None:
        """Take the rest of a received batch."""
        raise NotImplementedError

    def _expire(self, now: float) -> None:
        """Look at timers of one's own."""
        raise NotImplementedError

    def _resume(self) -> None:
        """The transport takes bytes again."""
        raise NotImplementedError

    def _lose(self, error: SmppError) -> None:
        """The link is gone. Called once, and only if it had been bound."""
        raise NotImplementedError

    def _in_use(self, sequence: int) -> bool:
        """Whether a request with this sequence number is unanswered."""
        return sequence in self._awaited or sequence in self._enquiries

    # For callers

    async def request(self, command: int, body: bytes = b"") -> Pdu:
        """Send a request that is no submit, and wait for its response. SmppError when the link ends first."""
        sequence = self._take_sequence()
        future: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._awaited[sequence] = future
        self._write(encode_pdu(command, 0, sequence, body))
        try:
            return await future
        finally:
            self._awaited.pop(sequence, None)

    def abort(self) -> None:
        """Drop the link now."""
        self._end(LinkLostError("aborted"))

    def tick(self, now: float) -> None:
        """Look at all timers; called every 0.1 s. `now` is of the session's clock."""
        self._expire(now)
        if now - self._heard_at >= self.config.inactivity_seconds:
            self._end(LinkLostError(f"nothing heard for {self.config.inactivity_seconds} s"))
        elif self._unbound_at is not None and now - self._unbound_at >= UNBOUND_SECONDS:
            self._end(LinkLostError("unbound by the SMSC"))
        elif now - self._enquired_at >= self.config.enquire_link_seconds:
            if len(self._enquiries) >= MISSED_LIMIT:
                self._end(LinkLostError(f"{MISSED_LIMIT} enquire_links without an answer"))
                return
            self._enquired_at = now
            sequence = self._take_sequence()
            self._enquiries.add(sequence)
            self._write(encode_pdu(ENQUIRE_LINK, 0, sequence))

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio gives protocols of streams a Transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now = self._heard_at = self._clock()
        batch = self._reader.feed(data)
        for pdu in batch.others:
            self._handle(pdu, batch)
        self._receive(batch, now)
        if batch.error is not None:
            self._write(encode_pdu(GENERIC_NACK, batch.error.command_status, 0))
            self._end(batch.error)

    def pause_writing(self) -> None:
        self._held = True

    def resume_writing(self) -> None:
        self._held = False
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        error = self._error or LinkLostError(f"link lost: {exc or 'closed by the SMSC'}")
        self._stopping = True
        self._transport = None
        if self._ticker is not None:
            self._ticker.cancel()
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(error)
        self._awaited.clear()
        self.closed.set()
        if self._bound:
            self._bound = False
            self._lose(error)

    # Inside

    def _start_ticking(self) -> None:
        self._heard_at = self._enquired_at = self._clock()
        self._ticker = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick_again)

    def _tick_again(self) -> None:
        if not self.closed.is_set():
            self.tick(self._clock())
            self._ticker = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick_again)

    def _take_sequence(self) -> int:
        return self.sequences.take(1, self._in_use)[0]

    def _handle(self, pdu: Pdu, batch: Batch) -> None:
        command, sequence = pdu.command, pdu.sequence
        if sequence in self._awaited and command & RESPONSE:
            future = self._awaited[sequence]
            if not future.done():
                future.set_result(pdu)
        elif command == ENQUIRE_LINK:
            self._write(encode_pdu(ENQUIRE_LINK_RESP, 0, sequence))
        elif sequence in self._enquiries and command & RESPONSE:
            # One answer says that the link lives: those missed before it no longer matter.
            self._enquiries.clear()
            if self.on_enquired is not None:
                self.on_enquired(self._clock() - self._enquired_at)
        elif command == UNBIND:
            self._stopping = True
            self._unbound_at = self._clock()
            self._write(encode_pdu(UNBIND_RESP, 0, sequence))
        elif command == GENERIC_NACK:
            # To a submit it is an answer as any other (4.3); status 0 would make it an acceptance.
            batch.sequences.append(sequence)
            batch.statuses.append(pdu.status or RUNKNOWNERR)
            batch.ids.append(b"")
        elif command & RESPONSE or command == ALERT_NOTIFICATION:
            self.unexpected["response" if command & RESPONSE else "request"] += 1
        else:
            self.unexpected["request"] += 1
            self._write(encode_pdu(GENERIC_NACK, RINVCMDID, sequence))

    def _write(self, data: bytes | bytearray) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _end(self, error: SmppError) -> None:
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
