"""The accounts of the simulator, one per system_id: who may bind, its binds, and the receipts scheduled for it."""

import asyncio
import heapq
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from broadcast.smpp.codec.bind import BindRequest
from broadcast.smpp.codec.command_status import RALYBND, RINVPASWD, RINVSYSID, ROK
from broadcast.smsc.receipts import ReceiptBatch, format_ids, render_receipts
from broadcast.smsc.state import BindMetrics, Connection, SmscState

# At most so many receipts at once, so that responses are sent in between.
BURST: Final = 2_000


class Account:
    """Sends receipts when they are due, to any of its binds that receives, within each bind's receipt window.

    It lives on while there is no bind: receipts wait for the next one.
    """

    def __init__(self, state: SmscState) -> None:
        self.connections: Final[list[Connection]] = []
        self._state: Final = state
        self._batches: Final[list[ReceiptBatch]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0

    @property
    def receipts_waiting(self) -> int:
        """Receipts that are not sent yet, or are to be sent again."""
        return sum(map(len, self._batches))

    def discard_receipts(self) -> None:
        """Drop all receipts that wait."""
        self._batches.clear()

    def schedule_receipts(self, batch: ReceiptBatch) -> None:
        """Keep receipts until they are due; `send_due_receipts` sends them."""
        heapq.heappush(self._batches, batch)

    def send_due_receipts(self) -> None:
        """Send what is due, as far as the binds have room for it, and set the timer for the rest."""
        state = self._state
        now = state.now()
        behaviour = state.behaviour
        if behaviour.pause_answers or behaviour.silent:
            # The next change of behaviour calls this again.
            return
        sent = 0
        while self._batches and self._batches[0].due_at <= now and sent < BURST:
            connection = self._next_connection()
            if connection is None:
                # Answers, a new bind, or a transport that takes bytes again call this again.
                return
            sent += self._send(connection, self._batches[0])
            if not len(self._batches[0]):
                heapq.heappop(self._batches)
        if self._batches and self._timer is None:
            delay = max(0.0, self._batches[0].due_at - now)
            self._timer = asyncio.get_running_loop().call_later(delay or 0.001, self._send_again)

    def _send_again(self) -> None:
        self._timer = None
        self.send_due_receipts()

    def _next_connection(self) -> Connection | None:
        for _ in range(len(self.connections)):
            self._turn += 1
            connection = self.connections[self._turn % len(self.connections)]
            if connection.receipt_room > 0:
                return connection
        return None

    def _send(self, connection: Connection, batch: ReceiptBatch) -> int:
        behaviour = self._state.behaviour
        count = min(len(batch), connection.receipt_room, BURST)
        start = batch.sent
        form = behaviour.message_id_format if behaviour.receipt_id_format == "same" else behaviour.receipt_id_format
        ids = format_ids(batch.message_numbers[start : start + count], form, behaviour.message_id_modulus)
        sequences = connection.register_receipts(batch, start, count)
        connection.write(render_receipts(batch, sequences, ids, done_at=time.time(), tlvs=behaviour.receipt_tlvs))
        batch.sent += count
        self._state.metrics.receipts_sent += count
        return count


class Bind(NamedTuple):
    """A bind that was accepted: the account it belongs to, and its own counts."""

    account: Account
    metrics: BindMetrics


class Accounts:
    """Accepts or refuses binds; `system_id` and `password` None accept any."""

    def __init__(self, state: SmscState, system_id: str | None, password: str | None) -> None:
        self._state: Final = state
        self._system_id: Final = system_id
        self._password: Final = password
        self._accounts: Final[dict[bytes, Account]] = {}

    @property
    def binds_now(self) -> int:
        """Binds that stand at this moment, over all accounts."""
        return sum(len(account.connections) for account in self._accounts.values())

    @property
    def receipts_waiting(self) -> int:
        """Receipts of all accounts that are not sent yet, or are to be sent again."""
        return sum(account.receipts_waiting for account in self._accounts.values())

    def check_bind(self, request: BindRequest) -> int:
        """The command_status of the response to a bind; 0 accepts it."""
        behaviour = self._state.behaviour
        if behaviour.refuse_binds:
            return behaviour.refuse_binds
        if self._system_id is not None and request.system_id != self._system_id.encode():
            return RINVSYSID
        if self._password is not None and request.password != self._password.encode():
            return RINVPASWD
        if behaviour.max_binds and self.binds_now >= behaviour.max_binds:
            return RALYBND
        return ROK

    def add_bind(self, connection: Connection, request: BindRequest, mode: str) -> Bind:
        """Count a new bind and give it to its account; the receipts that wait are sent at the next occasion."""
        account = self._accounts.get(request.system_id)
        if account is None:
            account = self._accounts[request.system_id] = Account(self._state)
        account.connections.append(connection)
        self._state.metrics.binds_total += 1
        metrics = BindMetrics(
            number=self._state.metrics.binds_total,
            system_id=request.system_id.decode("latin-1"),
            mode=mode,
            bound_at=time.time(),
        )
        self._state.binds.append(metrics)
        return Bind(account, metrics)

    def send_due_receipts(self) -> None:
        """Send what is due, for every account."""
        for account in self._all():
            account.send_due_receipts()

    def discard_receipts(self) -> None:
        """Drop all receipts that wait, for every account."""
        for account in self._all():
            account.discard_receipts()

    def _all(self) -> Sequence[Account]:
        return tuple(self._accounts.values())
