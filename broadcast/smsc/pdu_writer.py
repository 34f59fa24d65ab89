"""Writes the PDUs of one connection: collected, delayed, paused, split or left out, as the behaviour says."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from broadcast.smsc.state import SmscState

WRITE_BUFFER_BYTES: Final = 1024 * 1024


class PduWriter:
    """Responses to submits go through `add_responses` and `flush`, all other PDUs through `write`.

    `on_sent` is called with the number of responses that have been sent.
    """

    def __init__(self, transport: asyncio.Transport, state: SmscState, on_sent: Callable[[int], None]) -> None:
        self.transport: Final = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._state: Final = state
        self._on_sent: Final = on_sent
        self._responses: list[bytes | bytearray] = []
        self._count = 0
        self._delayed: deque[tuple[float, bytes, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pieces = bytearray()
        self._piece_timer: asyncio.TimerHandle | None = None

    def add_responses(self, data: bytes | bytearray, count: int) -> None:
        """Add responses to `count` submits to those that `flush` will send."""
        self._responses.append(data)
        self._count += count

    def flush(self) -> None:
        """Send the collected responses: at once, after the delay, or when responses are no longer paused."""
        if not self._responses:
            return
        data = b"".join(self._responses)
        count = self._count
        self._responses.clear()
        self._count = 0
        behaviour = self._state.behaviour
        if behaviour.delay_ms or behaviour.pause_answers or self._delayed:
            self._delayed.append((self._state.now() + behaviour.delay_ms / 1000, data, count))
            self._schedule()
        else:
            self.write(data)
            self._on_sent(count)

    def send_due(self) -> None:
        """Send the delayed responses that are due, if responses are not paused."""
        self._timer = None
        now = self._state.now()
        if self._state.behaviour.pause_answers:
            return
        while self._delayed and self._delayed[0][0] <= now:
            _, data, count = self._delayed.popleft()
            self.write(data)
            self._on_sent(count)
        self._schedule()

    def _schedule(self) -> None:
        if self._delayed and self._timer is None and not self._state.behaviour.pause_answers:
            delay = max(0.0, self._delayed[0][0] - self._state.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.send_due)

    def write(self, data: bytes | bytearray) -> None:
        """Send, unless the SMSC is silent: whole, in pieces, or a moment later together with what follows."""
        behaviour = self._state.behaviour
        if behaviour.silent or self.transport.is_closing():
            return
        if not (behaviour.split_bytes or behaviour.coalesce_ms or self._pieces):
            self.transport.write(data)
            return
        self._pieces += data
        if self._piece_timer is None:
            self._piece_timer = asyncio.get_running_loop().call_later(behaviour.coalesce_ms / 1000, self._write_piece)

    def _write_piece(self) -> None:
        self._piece_timer = None
        size = self._state.behaviour.split_bytes or len(self._pieces)
        self.transport.write(bytes(self._pieces[:size]))
        del self._pieces[:size]
        if self._pieces:
            # A pause, or the kernel would join the pieces again.
            self._piece_timer = asyncio.get_running_loop().call_later(0.0005, self._write_piece)

    def close(self) -> None:
        """Send the pieces that wait, then close the connection."""
        if self._pieces:
            self.transport.write(bytes(self._pieces))
            self._pieces.clear()
        self.transport.close()

    def discard(self) -> None:
        """Drop everything that is not sent."""
        for timer in (self._timer, self._piece_timer):
            if timer is not None:
                timer.cancel()
        self._delayed.clear()
        self._pieces.clear()
