"""The timers of one connection to the simulator: enquire_link, inactivity, slow reading, delayed bind."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from broadcast.smpp.codec.pdu import ENQUIRE_LINK
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.pdu_writer import PduWriter

# Until a timer looks again whether the behaviour wants what it is for.
_ASIDE_SECONDS: Final = 60.0


class Requesting(Protocol):
    """What sends the SMSC's own requests, and counts what the client does wrong."""

    def send_request(self, command: int, body: bytes = b"") -> None:
        """Send a request of the SMSC."""

    def violate(self, kind: Violation, detail: str) -> None:
        """Count a violation of the client."""


class LinkTimers:
    """Plans each thing at most once; all end with `cancel`. `now` is a monotonic clock in seconds."""

    def __init__(self, link: Requesting, writer: PduWriter, now: Callable[[], float]) -> None:
        self._link: Final = link
        self._writer: Final = writer
        self._now: Final = now
        # By what they call.
        self._timers: Final[dict[str, asyncio.TimerHandle]] = {}
        self._enquiries: Final[dict[int, float]] = {}
        self._received_at = now()

    def cancel(self) -> None:
        """End all timers."""
        for timer in self._timers.values():
            timer.cancel()

    def start(self) -> None:
        """Begin what the behaviour wants of a session that is bound."""
        behaviour = self._writer.account.behaviour
        if behaviour.enquire_link_seconds:
            self.call_later("enquire", behaviour.enquire_link_seconds, self._enquire)
        if behaviour.inactivity_seconds:
            self.call_later("inactivity", behaviour.inactivity_seconds, self._end_if_inactive)

    def call_later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Call it once the time has passed, unless the connection ends before."""
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, callback)

    def note_received(self, octets: int) -> None:
        """The client has sent so many octets: it is active, and may have to wait until more is read."""
        self._received_at = self._now()
        speed = self._writer.account.behaviour.read_bytes_per_second
        transport = self._writer.transport
        if speed and isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()
            self.call_later("read", octets / speed, self._read_again)

    def note_enquiry(self, sequence: int) -> None:
        """An enquire_link was sent."""
        self._enquiries[sequence] = self._now()

    def note_enquiry_answered(self, sequence: int) -> None:
        """An enquire_link was answered."""
        self._enquiries.pop(sequence, None)

    def _read_again(self) -> None:
        transport = self._writer.transport
        if isinstance(transport, asyncio.ReadTransport) and not transport.is_closing():
            transport.resume_reading()

    def _enquire(self) -> None:
        """Send the periodic enquire_link; the last one must have been answered."""
        seconds = self._writer.account.behaviour.enquire_link_seconds or _ASIDE_SECONDS
        # An event of the profile may have sent one a moment ago.
        old = [sequence for sequence, at in self._enquiries.items() if at < self._now() - seconds / 2]
        if old:
            self._link.violate(Violation.ENQUIRE_LINK_UNANSWERED, f"{len(old)} unanswered")
            self._enquiries.clear()
        self._link.send_request(ENQUIRE_LINK)
        self.call_later("enquire", seconds, self._enquire)

    def _end_if_inactive(self) -> None:
        """Close the connection when the client has sent nothing for too long."""
        limit = self._writer.account.behaviour.inactivity_seconds
        silent = self._now() - self._received_at
        if limit and silent >= limit:
            self._writer.close()
            return
        self.call_later("inactivity", max(0.01, (limit or _ASIDE_SECONDS) - silent), self._end_if_inactive)
