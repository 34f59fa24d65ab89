"""What the simulator keeps for one system_id: its binds, and the receipts owed to it, bind or no bind."""

import asyncio
import heapq
import time
from typing import TYPE_CHECKING, Final

from broadcast.smsc.receipts import Run, format_ids, render_receipts

if TYPE_CHECKING:
    from broadcast.smsc.link import Link
    from broadcast.smsc.simulator import Simulator

# One burst at most, so that responses get their turn in between.
BURST: Final = 2_000


class Account:
    """Sends receipts when they are due, to any of its binds that receives, within each bind's receipt window."""

    def __init__(self, simulator: "Simulator") -> None:
        self.links: list[Link] = []
        self._simulator: Final = simulator
        self._runs: list[Run] = []
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0

    @property
    def waiting(self) -> int:
        """Receipts that are not sent yet, or are to be sent again."""
        return sum(map(len, self._runs))

    def forget(self) -> None:
        """Drop all receipts that wait."""
        self._runs.clear()

    def owe(self, run: Run) -> None:
        """Take receipts to be sent when they are due; `pump` sends them."""
        heapq.heappush(self._runs, run)

    def pump(self) -> None:
        """Send what is due, as far as binds take it, and set the timer for the rest."""
        now = self._simulator.now()
        behaviour = self._simulator.behaviour
        if behaviour.pause_answers or behaviour.silent:
            # A change of behaviour pumps again.
            return
        sent = 0
        while self._runs and self._runs[0].due_at <= now and sent < BURST:
            link = self._next_link()
            if link is None:
                # Answers, a bind, or resumed writing pump again.
                return
            sent += self._send(link, self._runs[0])
            if not len(self._runs[0]):
                heapq.heappop(self._runs)
        if self._runs and self._timer is None:
            delay = max(0.0, self._runs[0].due_at - now)
            self._timer = asyncio.get_running_loop().call_later(delay or 0.001, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.pump()

    def _next_link(self) -> "Link | None":
        for _ in range(len(self.links)):
            self._turn += 1
            link = self.links[self._turn % len(self.links)]
            if link.receipt_room > 0:
                return link
        return None

    def _send(self, link: "Link", run: Run) -> int:
        behaviour = self._simulator.behaviour
        count = min(len(run), link.receipt_room, BURST)
        start = run.taken
        form = behaviour.message_id_format if behaviour.receipt_id_format == "same" else behaviour.receipt_id_format
        ids = format_ids(run.numbers[start : start + count], form, behaviour.message_id_modulus)
        sequences = link.await_receipts(run, start, count)
        link.write(render_receipts(run, sequences, ids, done_at=time.time(), tlvs=behaviour.receipt_tlvs))
        run.taken += count
        self._simulator.figures.receipts_sent += count
        return count
