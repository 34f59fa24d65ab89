"""The receipts and phone messages that a bind was sent, until it answers them; the SMSC's own sequence numbers."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Final

from broadcast.smpp.codec.command_status import RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.pdu import DATA_SM_RESP, SequenceCounter
from broadcast.smsc.accounts import Bind
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.pdus.receipts import ReceiptBatch
from broadcast.smsc.state import SmscState

_RETRYABLE: Final = frozenset([RTHROTTLED, RMSGQFUL, RX_T_APPN])


class SentDeliveries:
    """Gives sequence numbers to what the SMSC sends on one connection, and takes the answers.

    `violate` is called with what the client answers wrongly.
    """

    def __init__(self, state: SmscState, violate: Callable[[Violation, str], None]) -> None:
        self._state: Final = state
        self._violate: Final = violate
        self._sequences: Final = SequenceCounter()
        self._receipts: Final[dict[int, tuple[ReceiptBatch, int]]] = {}
        # Of `_receipts`, those that went as data_sm.
        self._as_data: Final[set[int]] = set()
        self._messages: Final[set[int]] = set()

    def __len__(self) -> int:
        return len(self._receipts)

    def take_sequence(self) -> int:
        """The next sequence number, for a request that is no delivery."""
        return self._sequences.take(1, self._receipts.__contains__)[0]

    def add_receipts(self, batch: ReceiptBatch, start: int, count: int) -> Sequence[int]:
        """Give the batch's receipts from `start` sequence numbers, and keep them until they are answered."""
        sequences = self._sequences.take(count, self._receipts.__contains__)
        self._receipts.update(zip(sequences, zip(repeat(batch), range(start, start + count)), strict=False))
        if batch.form.pdu == "data_sm":
            self._as_data.update(sequences)
        return sequences

    def add_message(self) -> int:
        """The sequence number of a message from a phone, kept until it is answered."""
        sequence = self.take_sequence()
        self._messages.add(sequence)
        return sequence

    def take_unanswered(self) -> Iterable[tuple[ReceiptBatch, int]]:
        """The receipts that were not answered, each by its batch and its place in it; none are kept."""
        unanswered = tuple(self._receipts.values())
        self._receipts.clear()
        return unanswered

    def acknowledge(self, bind: Bind, command: int, sequences: Sequence[int], statuses: Sequence[int]) -> None:
        """Take answers: what was refused for now is scheduled again."""
        totals, account = self._state.metrics, bind.account
        if self._as_data or command == DATA_SM_RESP or not self._receipts.keys() >= set(sequences):
            self._check(command, sequences)
        if self._messages:
            for sequence, status in zip(sequences, statuses, strict=True):
                if sequence in self._messages and status == ROK:
                    self._messages.discard(sequence)
                    totals.messages_answered += 1
        found = list(map(self._receipts.pop, sequences, repeat(None)))
        if statuses.count(ROK) == len(statuses):
            answered = len(found) - found.count(None)
            totals.receipts_answered += answered
            account.metrics.receipts_answered += answered
            return
        for receipt, status in zip(found, statuses, strict=True):
            if receipt is None:
                continue
            for metrics in (totals, account.metrics):
                metrics.receipts_answered += status == ROK
                metrics.receipts_resent += status in _RETRYABLE
                metrics.receipts_refused += status != ROK and status not in _RETRYABLE
            if status in _RETRYABLE:
                batch, index = receipt
                due_at = self._state.now() + account.behaviour.receipt_retry_ms / 1000
                account.schedule_receipts(batch.single(index, due_at))

    def _check(self, command: int, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            if sequence not in self._receipts and sequence not in self._messages:
                self._violate(Violation.ANSWER_UNEXPECTED, f"sequence {sequence}")
            elif (sequence in self._as_data) != (command == DATA_SM_RESP):
                self._violate(Violation.ANSWER_OF_WRONG_TYPE, f"command_id 0x{command:08X}, sequence {sequence}")
        self._as_data.difference_update(sequences)
