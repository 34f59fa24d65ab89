"""What a link has received: processed in turns, and read no faster than it is processed. `now` is passed in."""

import asyncio
from collections.abc import Callable
from typing import Final

from broadcast.smpp.codec.reader import Batch, Reader
from broadcast.smpp.rates.reading_limit import ReadingLimit

TURN_PDUS: Final = range(256, 512)
"""So many PDUs of a link, or half of its window within these bounds, are processed before all else has its turn.

The first half of a large window is filled again while the answers to the other half are read. Smaller batches cost more
CPU than this saves time.
"""
WAITING_OCTETS: Final = 256 * 1024
"""While more than this waits for its turn, nothing is read."""


class Incoming:
    """Gives the PDUs of a link to `process` in batches, one in each turn of the event loop (`TURN_PDUS`).

    Reading pauses while too much waits, while the SMSC sends a flood, and while it does not read what is sent to it.
    """

    def __init__(self, pdu_cap: int, window: int, now: float, process: Callable[[Batch], None]) -> None:
        self._reader: Final = Reader(pdu_cap)
        self._turn_pdus: Final = max(TURN_PDUS.start, min(window // 2, TURN_PDUS.stop))
        self._process: Final = process
        self._flood: Final = ReadingLimit(now)
        self._transport: asyncio.Transport | None = None
        self._planned = False
        # Why nothing is read: a flood, until when; answers that the SMSC does not read; what waits for its turn.
        self._flooded_until: float | None = None
        self._unread = self._behind = False
        self._on_processed: Callable[[], None] | None = None

    def connect(self, transport: asyncio.Transport) -> None:
        """Begin, on this transport."""
        self._transport = transport

    def add(self, data: bytes) -> None:
        """Process what was received: the first batch at once, if nothing waits."""
        self._reader.add(data)
        if not self._planned:
            self._take_turn()
        elif self._reader.waiting > WAITING_OCTETS:
            self._behind = True
            self._pause()

    def end(self, on_processed: Callable[[], None]) -> None:
        """The link has ended; `on_processed` is called when all that was received before is processed."""
        self._transport = None
        if self._planned:
            self._on_processed = on_processed
        else:
            on_processed()

    def count_unasked(self, pdus: int, now: float) -> bool:
        """Count PDUs that nobody asked for; whether they are a flood, for which nothing is read for a time."""
        pause = self._flood.count(pdus, now)
        if not pause or self._transport is None:
            return False
        if self._flooded_until is None:
            self._pause()
        self._flooded_until = now + pause
        return True

    def note_unread(self) -> None:
        """Read nothing until `note_read`: the SMSC sends without reading, and all it sends makes more answers."""
        self._unread = True
        self._pause()

    def note_read(self) -> None:
        """The SMSC has read what was sent to it."""
        self._unread = False
        self._resume()

    def tick(self, now: float) -> None:
        """Read again after a flood. Called regularly."""
        if self._flooded_until is not None and now >= self._flooded_until:
            self._flooded_until = None
            self._resume()

    def _take_turn(self) -> None:
        self._planned = False
        batch = self._reader.read(self._turn_pdus)
        if self._reader.has_more:
            # Before this batch: what is received meanwhile must wait behind it.
            self._planned = True
            asyncio.get_running_loop().call_soon(self._take_next_turn)
        self._process(batch)

    def _take_next_turn(self) -> None:
        try:
            self._take_turn()
        finally:
            if self._behind and self._reader.waiting <= WAITING_OCTETS:
                self._behind = False
                self._resume()
            if not self._planned and self._on_processed is not None:
                self._on_processed()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._flooded_until is None and not self._unread and not self._behind:
            transport.resume_reading()
