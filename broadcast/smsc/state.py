"""What all connections, accounts and submits of one simulator share."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from broadcast.smpp.codec.message import ShortMessage
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.receipts import ReceiptBatch
from broadcast.smsc.submit_counts import SubmitCounts
from broadcast.smsc.submit_plan import SubmitPlanner

# The statistics name this many binds, the newest; a fault test makes hundreds.
BINDS_KEPT: Final = 500


class BindMetrics(msgspec.Struct, kw_only=True):
    """What is counted of one bind, past or present; GET /stats gives these fields by their names."""

    number: int
    system_id: str
    mode: str
    bound: bool = True
    bound_at: float = 0.0
    submits: int = 0
    unanswered: int = 0
    highest_unanswered: int = 0
    receipts_unanswered: int = 0


class SmscMetrics(msgspec.Struct, kw_only=True):
    """Totals since the start or the last reset, as GET /stats gives them.

    Instants are Unix seconds, null before the first submit. submits = accepted + refused + unanswered (never answered:
    by its plan, or because the SMSC is silent). A submit whose response is delayed is already counted by what the
    response will say.
    """

    binds_total: int = 0
    binds_refused: int = 0
    submits: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    refused_by_status: dict[str, int] = {}
    # All that were scheduled, sent or not.
    receipts_owed: int = 0
    receipts_sent: int = 0
    receipts_answered: int = 0
    receipts_refused: int = 0
    receipts_resent: int = 0
    messages_sent: int = 0
    messages_answered: int = 0
    enquire_links: int = 0
    unreadable: int = 0
    first_submit_at: float | None = None
    last_submit_at: float | None = None


class Connection(Protocol):
    """One TCP connection to the simulator, bound or not; `Link` is the only one."""

    @property
    def receipt_room(self) -> int:
        """How many receipts may be sent on this bind at this moment; 0 when it is not bound to receive."""

    def register_receipts(self, batch: ReceiptBatch, start: int, count: int) -> Sequence[int]:
        """Give the batch's receipts from `start` sequence numbers, and keep them until they are answered."""

    def write(self, data: bytes | bytearray) -> None:
        """Send PDUs that are not responses to submits."""

    def send_phone_message(self, message: ShortMessage) -> None:
        """Send a message from a phone as deliver_sm."""

    def send_due_responses(self) -> None:
        """Send the responses that are due, after the behaviour has changed."""

    def unbind(self) -> None:
        """Ask the client to unbind."""

    def close(self) -> None:
        """Close the connection at once and discard what is not sent."""


class SmscState:
    """How the simulator behaves, which connections it has, and what it has counted.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, behaviour: Behaviour, *, seed: int, now: Callable[[], float]) -> None:
        self.behaviour = behaviour
        self.planner = SubmitPlanner(seed, behaviour)
        self.metrics = SmscMetrics()
        self.submit_counts = SubmitCounts()
        self.connections: Final[set[Connection]] = set()
        self.binds: Final[deque[BindMetrics]] = deque(maxlen=BINDS_KEPT)
        self.now: Final = now
        self._seed: Final = seed

    def change_behaviour(self, behaviour: Behaviour) -> None:
        """Behave differently, from the next submit on."""
        self.behaviour = behaviour
        self.planner = SubmitPlanner(self._seed, behaviour)

    def reset_counts(self) -> None:
        """Start all counts again at 0; binds that stand are kept in the list of binds."""
        self.metrics = SmscMetrics()
        self.submit_counts = SubmitCounts()
        bound = [bind for bind in self.binds if bind.bound]
        self.binds.clear()
        for bind in bound:
            bind.submits = 0
            bind.highest_unanswered = bind.unanswered
            self.binds.append(bind)
