"""Writes the PDUs of one connection: collected, delayed, paused, split or left out, as the behaviour says."""

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Final, Protocol

from broadcast.smpp.codec.pdu import HEADER_LENGTH
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.submit_plan import mix

WRITE_BUFFER_BYTES: Final = 1024 * 1024


class Behaving(Protocol):
    """What has a behaviour that may change: an account."""

    @property
    def watches_reading(self) -> bool:
        """What comes from the client is not just read."""

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour of this moment."""


class _Delayed:
    """Responses to so many submits that are sent together; `cut`: the connection ends with them."""

    __slots__ = ("cut", "parts", "submits")

    def __init__(self, data: bytes, submits: int, cut: str) -> None:
        self.parts = [data]
        self.submits = submits
        self.cut = cut

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


def round_up(due_at: float) -> float:
    """To a hundredth of a second, so that what is due at nearly the same time is sent together."""
    return math.ceil(due_at * 100) / 100


class PduWriter:
    """Responses to submits go through `add_responses` and `flush`, or `add_delayed`, all other PDUs through `write`.

    `on_sent` is called with the number of responses that have been sent. `account` decides how; it changes at the bind.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        account: Behaving,
        now: Callable[[], float],
        on_sent: Callable[[int], None],
    ) -> None:
        self.transport: Final = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.account = account
        self._now: Final = now
        self._on_sent: Final = on_sent
        self._responses: list[bytes | bytearray] = []
        self._count = 0
        # (due_at, order, responses); the order decides between those that are due together.
        self._delayed: list[tuple[float, int, _Delayed]] = []
        self._order = 0
        # By due_at, those that may still grow.
        self._growing: Final[dict[float, _Delayed]] = {}
        self._last_due = 0.0
        self.received_at = now()
        """When that came which is answered now: the delay of an answer counts from here."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pieces = bytearray()
        self._piece_timer: asyncio.TimerHandle | None = None

    def add_responses(self, data: bytes | bytearray, count: int) -> None:
        """Add responses to `count` submits to those that `flush` will send."""
        self._responses.append(data)
        self._count += count

    def add_delayed(self, data: bytes, delay: float, cut: str = "") -> None:
        """Send the response to one submit after `delay` seconds, in the order that the behaviour says.

        `cut`: the connection ends before, in or after it.
        """
        if self._responses:
            # In front of this one, in the order of their submits.
            self._collect()
        due_at = self.received_at + delay
        if cut or self.account.behaviour.answer_order != "due":
            self._push(data, 1, due_at, cut)
            return
        due_at = round_up(due_at)
        if (growing := self._growing.get(due_at)) is None:
            self._growing[due_at] = self._push(data, 1, due_at)
        else:
            growing.parts.append(data)
            growing.submits += 1

    def _collect(self) -> None:
        """Move the collected responses to the delayed ones."""
        data, count = b"".join(self._responses), self._count
        self._responses.clear()
        self._count = 0
        self._push(data, count, self.received_at + self.account.behaviour.delay_ms / 1000)

    def _push(self, data: bytes, count: int, due_at: float, cut: str = "") -> _Delayed:
        self._order += 1
        order = self._order
        match self.account.behaviour.answer_order:
            case "submitted":
                self._last_due = due_at = max(due_at, self._last_due)
            case "reversed":
                due_at, order = round_up(due_at), -order
            case "shuffled":
                due_at, order = round_up(due_at), mix(order)
        delayed = _Delayed(data, count, cut)
        heapq.heappush(self._delayed, (due_at, order, delayed))
        return delayed

    def flush(self) -> None:
        """Send the collected responses: at once, after the delay, or when responses are no longer paused."""
        if self._responses:
            behaviour = self.account.behaviour
            if behaviour.delay_ms or behaviour.pause_answers or self._delayed:
                self._collect()
            else:
                data, count = b"".join(self._responses), self._count
                self._responses.clear()
                self._count = 0
                self.write(data)
                self._on_sent(count)
                return
        if self._delayed:
            self.send_due()

    def send_due(self) -> None:
        """Send the delayed responses that are due, if responses are not paused."""
        now = self._now()
        delayed = self._delayed
        if self.account.behaviour.pause_answers:
            return
        collected: list[bytes] = []
        count = 0
        while delayed and delayed[0][0] <= now:
            due_at, _, each = heapq.heappop(delayed)
            if self._growing.get(due_at) is each:
                del self._growing[due_at]
            if each.cut:
                self._send_and_cut(b"".join(collected), count, each)
                return
            collected += each.parts
            count += each.submits
        if count:
            self.write(b"".join(collected))
            self._on_sent(count)
        if delayed and (self._timer is None or delayed[0][0] < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = delayed[0][0]
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._timer_at - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.send_due()

    def _send_and_cut(self, before: bytes, count: int, last: _Delayed) -> None:
        """Write what was due before; then end the connection before, in or after the last response."""
        whole = last.data if last.cut == "after" else last.data[: HEADER_LENGTH // 2] if last.cut == "in" else b""
        self.write(before + whole)
        self._on_sent(count + last.submits * (last.cut == "after"))
        if last.cut != "after":
            # Counted among those that were lost with the connection.
            self._delayed.append((0.0, 0, last))
        self.close()

    @property
    def unsent(self) -> int:
        """Responses that wait to be sent."""
        return self._count + sum(each.submits for _, _, each in self._delayed)

    def has_unsent(self, sequence: int) -> bool:
        """A response with this sequence number waits to be sent."""
        wanted = sequence.to_bytes(4, "big")
        for data in (*self._responses, *(each.data for _, _, each in self._delayed)):
            offset = 0
            while offset + HEADER_LENGTH <= len(data):
                if data[offset + 12 : offset + HEADER_LENGTH] == wanted:
                    return True
                offset += int.from_bytes(data[offset : offset + 4], "big")
        return False

    def write(self, data: bytes | bytearray) -> None:
        """Send, unless the SMSC is silent: whole, in pieces, or a moment later together with what follows."""
        behaviour = self.account.behaviour
        if behaviour.silent or self.transport.is_closing():
            return
        if not (behaviour.split_bytes or behaviour.coalesce_ms or self._pieces):
            self.transport.write(data)
            return
        self._pieces += data
        if self._piece_timer is None:
            self._piece_timer = asyncio.get_running_loop().call_later(behaviour.coalesce_ms / 1000, self._write_piece)

    def write_behind(self, data: bytes | bytearray) -> None:
        """Send behind the responses that were collected."""
        self.flush()
        self.write(data)

    def _write_piece(self) -> None:
        self._piece_timer = None
        size = self.account.behaviour.split_bytes or len(self._pieces)
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

    def discard(self) -> int:
        """Drop everything that is not sent; returns how many responses that were."""
        for timer in (self._timer, self._piece_timer):
            if timer is not None:
                timer.cancel()
        lost = self.unsent
        self._delayed.clear()
        self._growing.clear()
        self._responses.clear()
        self._count = 0
        self._pieces.clear()
        return lost
