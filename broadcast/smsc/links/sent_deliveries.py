"""The receipts and phone messages that a bind was sent, until it answers them; the SMSC's own sequence numbers."""

import struct
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final

from broadcast.smpp.codec.command_status import RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.pdu import DATA_SM_RESP, HEADER, SequenceCounter, iterate_runs
from broadcast.smsc.accounts import Bind
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.pdus.receipts import ReceiptBatch
from broadcast.smsc.state import SmscState

_RETRYABLE: Final = frozenset([RTHROTTLED, RMSGQFUL, RX_T_APPN])
_ACKNOWLEDGEMENT: Final = struct.Struct(">IIIIB")


class _Run:
    """`count` receipts of a batch, from its place `start`, with sequence numbers from `first` without a gap."""

    __slots__ = ("batch", "count", "first", "start")

    def __init__(self, first: int, count: int, batch: ReceiptBatch, start: int) -> None:
        self.first = first
        self.count = count
        self.batch = batch
        self.start = start


class SentDeliveries:
    """Gives sequence numbers to what the SMSC sends on one connection, and takes the answers.

    `violate` is called with what the client answers wrongly.
    """

    def __init__(self, state: SmscState, violate: Callable[[Violation, str], None]) -> None:
        self._state: Final = state
        self._violate: Final = violate
        self._sequences: Final = SequenceCounter()
        # As they were sent, until a client answers them in another order; the others one by one.
        self._runs: Final[deque[_Run]] = deque()
        self._receipts: Final[dict[int, tuple[ReceiptBatch, int]]] = {}
        self._in_runs = 0
        # Of the receipts, those that went as data_sm.
        self._as_data: Final[set[int]] = set()
        self._messages: Final[set[int]] = set()

    def __len__(self) -> int:
        return self._in_runs + len(self._receipts)

    def take_sequence(self) -> int:
        """The next sequence number, for a request that is no delivery."""
        return self._sequences.take(1, self._in_use)[0]

    def add_receipts(self, batch: ReceiptBatch, start: int, count: int) -> Sequence[int]:
        """Give the batch's receipts from `start` sequence numbers, and keep them until they are answered."""
        sequences = self._sequences.take(count, self._in_use)
        if batch.form.pdu == "data_sm":
            self._as_data.update(sequences)
        if isinstance(sequences, range):
            self._runs.append(_Run(sequences.start, count, batch, start))
            self._in_runs += count
        else:
            self._receipts.update(zip(sequences, zip(repeat(batch), range(start, start + count)), strict=False))
        return sequences

    def add_message(self) -> int:
        """The sequence number of a message from a phone, kept until it is answered."""
        sequence = self.take_sequence()
        self._messages.add(sequence)
        return sequence

    def return_unanswered(self, bind: Bind) -> None:
        """At the end of the connection: schedule again what was not answered, if the behaviour says so."""
        self._separate_runs()
        unanswered, account, now = tuple(self._receipts.values()), bind.account, self._state.now()
        self._receipts.clear()
        if account.behaviour.resend_receipts:
            # At once, so that they are sent before receipts that are due later.
            for batch, index in unanswered:
                account.receipts.schedule(batch.single(index, now))
            self._state.metrics.receipts_resent += len(unanswered)
            account.metrics.receipts_resent += len(unanswered)

    def read_answers(self, bind: Bind | None, data: bytes, offset: int) -> int:
        """Take consecutive answers; returns the offset behind them."""
        length: int
        length, command, status, sequence = HEADER.unpack_from(data, offset)
        if length != _ACKNOWLEDGEMENT.size or bind is None:
            self._take(bind, command, (sequence,), (status,))
            return offset + length
        for count, columns in iterate_runs(data, offset, length, _ACKNOWLEDGEMENT, command):
            self._take(bind, command, columns[3], columns[2])
            offset += count * length
        return offset

    def _take(self, bind: Bind | None, command: int, sequences: Sequence[int], statuses: Sequence[int]) -> None:
        if bind is None:
            self._violate(Violation.ANSWER_UNEXPECTED, f"sequence {sequences[0]}, not bound")
            return
        metrics = (self._state.metrics, bind.account.metrics)
        accepted = statuses.count(ROK) == len(statuses)
        if accepted and command != DATA_SM_RESP and not self._as_data and self._take_in_order(sequences):
            for each in metrics:
                each.receipts_answered += len(sequences)
            return
        self._separate_runs()
        different = set(sequences)
        known = len(different) == len(sequences) and self._receipts.keys() >= different
        if not known or self._as_data or command == DATA_SM_RESP:
            self._check(command, sequences)
        if self._messages:
            for sequence, status in zip(sequences, statuses, strict=True):
                if sequence in self._messages and status == ROK:
                    self._messages.discard(sequence)
                    metrics[0].messages_answered += 1
        found = list(map(self._receipts.pop, sequences, repeat(None)))
        if accepted:
            for each in metrics:
                each.receipts_answered += len(found) - found.count(None)
            return
        for receipt, status in zip(found, statuses, strict=True):
            if receipt is not None:
                self._take_status(bind, receipt, status)

    def _take_status(self, bind: Bind, receipt: tuple[ReceiptBatch, int], status: int) -> None:
        """Count the answer to one receipt; what was refused for now is scheduled again."""
        for metrics in (self._state.metrics, bind.account.metrics):
            metrics.receipts_answered += status == ROK
            metrics.receipts_resent += status in _RETRYABLE
            metrics.receipts_refused += status != ROK and status not in _RETRYABLE
        if status in _RETRYABLE:
            batch, index = receipt
            due_at = self._state.now() + bind.account.behaviour.receipt_retry_ms / 1000
            bind.account.receipts.schedule(batch.single(index, due_at))

    def _take_in_order(self, sequences: Sequence[int]) -> bool:
        """Take the answers to the receipts that were sent first, in their order; False, and nothing, if they differ."""
        count = len(sequences)
        if count > self._in_runs:
            return False
        expected: list[int] = []
        for run in self._runs:
            expected += range(run.first, run.first + min(run.count, count - len(expected)))
            if len(expected) == count:
                break
        if tuple(expected) != tuple(sequences):
            return False
        self._in_runs -= count
        while count:
            run = self._runs[0]
            taken = min(run.count, count)
            count -= taken
            run.first += taken
            run.start += taken
            run.count -= taken
            if not run.count:
                self._runs.popleft()
        return True

    def _separate_runs(self) -> None:
        """Keep each receipt by itself."""
        for run in self._runs:
            indices = zip(repeat(run.batch), range(run.start, run.start + run.count))
            self._receipts.update(zip(range(run.first, run.first + run.count), indices, strict=False))
        self._runs.clear()
        self._in_runs = 0

    def _in_use(self, sequence: int) -> bool:
        # After the wrap only.
        self._separate_runs()
        return sequence in self._receipts

    def _check(self, command: int, sequences: Sequence[int]) -> None:
        answered: set[int] = set()
        for sequence in sequences:
            if sequence in answered or (sequence not in self._receipts and sequence not in self._messages):
                self._violate(Violation.ANSWER_UNEXPECTED, f"sequence {sequence}")
            elif (sequence in self._as_data) != (command == DATA_SM_RESP):
                self._violate(Violation.ANSWER_OF_WRONG_TYPE, f"command_id 0x{command:08X}, sequence {sequence}")
            answered.add(sequence)
        self._as_data.difference_update(sequences)
