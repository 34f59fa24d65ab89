"""Reads the submits of one connection: runs of one layout at once, and the sequence numbers of all requests."""

from collections.abc import Callable, Sequence
from typing import Final

from broadcast.smpp.codec.pdu import HEADER_LENGTH, SUBMIT_SM, iterate_runs
from broadcast.smsc.accounts import Bind
from broadcast.smsc.counts.violations import SequenceWatch, Violation
from broadcast.smsc.pdu_writer import PduWriter
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.submits import SubmitHandler

_LAYOUTS_CAP: Final = 64


class SubmitReader:
    """Gives the submits of a bind to the handler; `violate` is called with what the client numbers wrongly."""

    def __init__(self, submits: SubmitHandler, writer: PduWriter, violate: Callable[[Violation, str], None]) -> None:
        self._submits: Final = submits
        self._writer: Final = writer
        self._violate: Final = violate
        self._layouts: Final[dict[int, list[SubmitLayout]]] = {}
        self._watch: Final = SequenceWatch()

    def read(self, bind: Bind, data: bytes, offset: int, length: int) -> int:
        """Take consecutive submits of one length and layout; returns the offset behind them.

        PduError when the first is no submit_sm.
        """
        layout = self._find_layout(data, offset, length)
        head, tail = layout.head, layout.tail
        for count, columns in iterate_runs(data, offset, length, layout.struct, SUBMIT_SM):
            _, _, _, sequences, heads, destinations, tails = columns
            if heads.count(head) != count or tails.count(tail) != count:
                fitting = 0
                while heads[fitting] == head and tails[fitting] == tail:
                    fitting += 1
                if fitting:
                    self._take(bind, layout, sequences[:fitting], destinations[:fitting])
                return offset + fitting * length
            self._take(bind, layout, sequences, destinations)
            offset += count * length
        return offset

    def check_sequence(self, sequence: int) -> None:
        """Take the sequence number of a request that is no submit."""
        if not self._watch.ascend((sequence,)):
            self._check_sequences((sequence,))

    def _find_layout(self, data: bytes, offset: int, length: int) -> SubmitLayout:
        """The layout that fits the PDU at `offset`. PduError when it is not a submit_sm."""
        layouts = self._layouts.setdefault(length, [])
        for position, layout in enumerate(layouts):
            if data.startswith(layout.head, offset + HEADER_LENGTH) and data.startswith(
                layout.tail, offset + length - len(layout.tail)
            ):
                if position:
                    layouts.insert(0, layouts.pop(position))
                return layout
        layout = SubmitLayout(data[offset : offset + length])
        layouts.insert(0, layout)
        del layouts[_LAYOUTS_CAP:]
        return layout

    def _take(self, bind: Bind, layout: SubmitLayout, sequences: Sequence[int], destinations: Sequence[bytes]) -> None:
        metrics = bind.metrics
        metrics.submits += len(sequences)
        metrics.unanswered += len(sequences)
        metrics.highest_unanswered = max(metrics.highest_unanswered, metrics.unanswered)
        if not self._watch.ascend(sequences, each=not bind.account.plain):
            self._check_sequences(sequences)
        self._submits.take(bind, self._writer, layout, sequences, destinations)

    def _check_sequences(self, sequences: Sequence[int]) -> None:
        for sequence in self._watch.check_each(sequences):
            kind = Violation.SEQUENCE_NOT_ASCENDING
            if sequence == 0:
                kind = Violation.SEQUENCE_ZERO
            elif self._writer.has_unsent(sequence) or sequences.count(sequence) > 1:
                kind = Violation.SEQUENCE_REUSED
            self._violate(kind, f"sequence {sequence}")
