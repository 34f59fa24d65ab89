"""What leaves a connection: answers collected per buffer, delayed, kept back, cut up, or swallowed, as told."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from broadcast.smsc.simulator import Simulator

WRITE_BUFFER_BYTES: Final = 1024 * 1024


class Outbox:
    """Answers to submits go through `answer` and `flush`, all else through `write`.

    `on_answered` hears how many answers have left.
    """

    def __init__(
        self, transport: asyncio.Transport, simulator: "Simulator", on_answered: Callable[[int], None]
    ) -> None:
        self.transport: Final = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._simulator: Final = simulator
        self._on_answered: Final = on_answered
        self._answers: list[bytes | bytearray] = []
        self._count = 0
        self._delayed: deque[tuple[float, bytes, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pieces = bytearray()
        self._piece_timer: asyncio.TimerHandle | None = None

    def answer(self, data: bytes | bytearray, count: int) -> None:
        """Add answers to `count` submits to those of this buffer."""
        self._answers.append(data)
        self._count += count

    def flush(self) -> None:
        """Send the collected answers: now, later, or once answers are no longer paused."""
        if not self._answers:
            return
        data = b"".join(self._answers)
        count = self._count
        self._answers.clear()
        self._count = 0
        behaviour = self._simulator.behaviour
        if behaviour.delay_ms or behaviour.pause_answers or self._delayed:
            self._delayed.append((self._simulator.now() + behaviour.delay_ms / 1000, data, count))
            self._schedule()
        else:
            self.write(data)
            self._on_answered(count)

    def release(self) -> None:
        """Send the answers that are due, if answers are not paused."""
        self._timer = None
        now = self._simulator.now()
        if self._simulator.behaviour.pause_answers:
            return
        while self._delayed and self._delayed[0][0] <= now:
            _, data, count = self._delayed.popleft()
            self.write(data)
            self._on_answered(count)
        self._schedule()

    def _schedule(self) -> None:
        if self._delayed and self._timer is None and not self._simulator.behaviour.pause_answers:
            delay = max(0.0, self._delayed[0][0] - self._simulator.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.release)

    def write(self, data: bytes | bytearray) -> None:
        """Send now, unless silent; whole, in pieces, or held back for a moment to go with what follows."""
        behaviour = self._simulator.behaviour
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
        size = self._simulator.behaviour.split_bytes or len(self._pieces)
        self.transport.write(bytes(self._pieces[:size]))
        del self._pieces[:size]
        if self._pieces:
            # A pause, or the kernel would join the pieces again.
            self._piece_timer = asyncio.get_running_loop().call_later(0.0005, self._write_piece)

    def close(self) -> None:
        """Send what is held back, then close."""
        if self._pieces:
            self.transport.write(bytes(self._pieces))
            self._pieces.clear()
        self.transport.close()

    def stop(self) -> None:
        """Forget what has not left."""
        for timer in (self._timer, self._piece_timer):
            if timer is not None:
                timer.cancel()
        self._delayed.clear()
        self._pieces.clear()
