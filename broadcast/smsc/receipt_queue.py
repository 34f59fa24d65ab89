"""The receipts that are due to one account, now or later, and how they reach its binds."""

import asyncio
import heapq
import time
from collections.abc import Hashable, Sequence
from typing import Final, Protocol

from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.pdus.receipt_texts import write_ids
from broadcast.smsc.pdus.receipts import ReceiptBatch, render_receipts
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.state import AccountMetrics, Connection, SmscState
from broadcast.smsc.submit_plan import ReceiptForm

# At most so many receipts at once, so that responses are sent in between.
BURST: Final = 2_000


def _period_of(form: ReceiptForm) -> int:
    """Receipts whose submits came in one period of so many seconds have the same date."""
    return 1 if form.text == "seconds" else 60


class Receiving(Protocol):
    """What receipts are sent to: an account."""

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour of this moment."""

    @property
    def connections(self) -> Sequence[Connection]:
        """Its binds, also those that do not receive."""

    @property
    def metrics(self) -> AccountMetrics:
        """Its counts."""


class ReceiptQueue:
    """Sends receipts when they are due, to any bind that receives, within each bind's receipt window.

    While there is no bind, receipts wait for the next one.
    """

    def __init__(self, state: SmscState, account: Receiving) -> None:
        self._state: Final = state
        self._account: Final = account
        # (due_at, order of scheduling, batch): those that are due together go in their order.
        self._batches: Final[list[tuple[float, int, ReceiptBatch]]] = []
        self._order = 0
        # Batches that wait and may still grow, by what their receipts have in common.
        self._growing: Final[dict[Hashable, ReceiptBatch]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._turn = 0

    @property
    def waiting(self) -> int:
        """Receipts that are not sent yet, or are to be sent again."""
        return sum(len(batch) for _, _, batch in self._batches)

    def clear(self) -> None:
        """Drop all receipts that wait."""
        self._batches.clear()
        self._growing.clear()

    def schedule(self, batch: ReceiptBatch) -> None:
        """Keep receipts until they are due; `send_due` sends them."""
        self._order += 1
        heapq.heappush(self._batches, (batch.due_at, self._order, batch))

    def join(
        self,
        layout: SubmitLayout,
        state: MessageState,
        form: ReceiptForm,
        numbers: Sequence[int],
        destinations: Sequence[int],
        *,
        due_at: float,
    ) -> None:
        """As `schedule`, but together with those that are due at the same instant and differ in number and id only."""
        submitted_at = time.time()
        key = (id(layout), id(form), int(state), due_at, int(submitted_at) // _period_of(form))
        growing = self._growing.get(key)
        if growing is None:
            batch = ReceiptBatch(
                layout,
                list(numbers),
                list(destinations),
                due_at=due_at,
                submitted_at=submitted_at,
                state=state,
                form=form,
                key=key,
            )
            self._growing[key] = batch
            self.schedule(batch)
        else:
            growing.extend(numbers, destinations)

    def send_due(self) -> None:
        """Send what is due, as far as the binds have room for it, and set the timer for the rest."""
        batches = self._batches
        behaviour = self._account.behaviour
        if not batches or behaviour.pause_answers or behaviour.silent:
            # The next change of behaviour calls this again.
            return
        now = self._state.now()
        # What goes to one connection is written at once.
        written: dict[Connection, bytearray] = {}
        sent = 0
        while batches and batches[0][0] <= now and sent < BURST:
            connection = self._next_connection()
            if connection is None:
                # Answers, a new bind, or a transport that takes bytes again call this again.
                break
            batch = batches[0][2]
            if batch.key is not None:
                self._growing.pop(batch.key, None)
                batch.key = None
            sent += self._render(connection, batch, written.setdefault(connection, bytearray()))
            if not len(batch):
                heapq.heappop(batches)
        else:
            self._plan_next(now)
        for connection, data in written.items():
            connection.write(data)

    def _plan_next(self, now: float) -> None:
        if not self._batches:
            return
        due_at = max(self._batches[0][0], now + 0.001)
        if self._timer is not None:
            if self._timer_at <= due_at:
                return
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = asyncio.get_running_loop().call_later(due_at - now, self._send_again)

    def _send_again(self) -> None:
        self._timer = None
        self.send_due()

    def _next_connection(self) -> Connection | None:
        connections = self._account.connections
        for _ in range(len(connections)):
            self._turn += 1
            connection = connections[self._turn % len(connections)]
            if connection.receipt_room > 0:
                return connection
        return None

    def _render(self, connection: Connection, batch: ReceiptBatch, data: bytearray) -> int:
        """Append the next receipts of the batch that the connection has room for; returns how many."""
        behaviour = self._account.behaviour
        count = min(len(batch), connection.receipt_room, BURST)
        start = batch.sent
        ids = write_ids(batch.message_numbers[start : start + count], batch.form, behaviour)
        sequences = connection.register_receipts(batch, start, count)
        # A receipt that was held back says when its message was done, not when it is sent.
        held_seconds = self._state.now() - batch.due_at if batch.due_at else 0.0
        done_at = time.time() - held_seconds
        data += render_receipts(batch, sequences, ids, done_at=done_at, tlvs=behaviour.receipt_tlvs)
        batch.sent += count
        self._state.metrics.receipts_sent += count
        self._account.metrics.receipts_sent += count
        return count
