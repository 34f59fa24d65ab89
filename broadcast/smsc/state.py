"""What all connections, accounts and submits of one simulator share."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from broadcast.smpp.codec.message import ShortMessage
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.counts.submit_counts import SubmitCounts
from broadcast.smsc.counts.violations import Example, PartWatch, Violation, Violations
from broadcast.smsc.pdus.receipts import ReceiptBatch

# The statistics name this many binds, the newest; a fault test makes hundreds.
BINDS_KEPT: Final = 500


class BindMetrics(msgspec.Struct, kw_only=True):
    """What is counted of one bind, past or present; GET /stats gives these fields by their names."""

    number: int
    system_id: str
    mode: str
    account: str = ""
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
    # Responses that were still to be sent when their connection ended.
    answers_lost: int = 0
    connections_cut: int = 0
    first_submit_at: float | None = None
    last_submit_at: float | None = None


class AccountMetrics(msgspec.Struct, kw_only=True):
    """The same totals of one account; `highest_per_second` is the most submits of any sliding second."""

    binds_total: int = 0
    binds_refused: int = 0
    submits: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    refused_by_status: dict[str, int] = {}
    receipts_owed: int = 0
    receipts_sent: int = 0
    receipts_answered: int = 0
    receipts_refused: int = 0
    receipts_resent: int = 0
    answers_lost: int = 0


class Connection(Protocol):
    """One TCP connection to the simulator, bound or not; `Link` is the only one."""

    @property
    def receipt_room(self) -> int:
        """How many receipts may be sent on this bind at this moment; 0 when it is not bound to receive."""

    @property
    def account(self) -> str:
        """The name of the account that is bound, empty before the bind."""

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

    def send_request(self, command: int, body: bytes = b"") -> None:
        """Send a request of the SMSC: outbind or enquire_link."""

    def close(self) -> None:
        """Close the connection at once and discard what is not sent."""


class SmscState:
    """The base of all behaviours, which connections the simulator has, and what it has counted.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, behaviour: Behaviour, *, seed: int, now: Callable[[], float], waits: bool = False) -> None:
        """`waits`: the time of the profile begins with the first submit."""
        self.behaviour = behaviour
        self.metrics = SmscMetrics()
        self.submit_counts = SubmitCounts()
        self.violations = Violations()
        self.parts: Final = PartWatch()
        self.connections: Final[set[Connection]] = set()
        self.binds: Final[deque[BindMetrics]] = deque(maxlen=BINDS_KEPT)
        self.now: Final = now
        self.seed: Final = seed
        # When the time of the profile began; None: with the first submit.
        self.began_at: float | None = None if waits else now()
        self.on_begin: Callable[[], None] = _do_nothing

    def begin(self) -> None:
        """The time of the profile begins, unless it has begun."""
        if self.began_at is None:
            self.began_at = self.now()
            self.on_begin()

    @property
    def elapsed(self) -> float:
        """Seconds since the time of the profile began; 0 before."""
        return 0.0 if self.began_at is None else self.now() - self.began_at

    def violate(self, kind: Violation, account: str, bind: int, detail: str, count: int = 1) -> None:
        """Count violations of the client."""
        self.violations.add(Example(kind, account, bind, round(self.elapsed, 3), detail), count)

    def reset_counts(self) -> None:
        """Start all counts again at 0; binds that stand are kept in the list of binds."""
        self.metrics = SmscMetrics()
        self.submit_counts = SubmitCounts()
        self.violations = Violations()
        bound = [bind for bind in self.binds if bind.bound]
        self.binds.clear()
        for bind in bound:
            bind.submits = 0
            bind.highest_unanswered = bind.unanswered
            self.binds.append(bind)


def _do_nothing() -> None:
    """Nobody waits for the beginning."""
