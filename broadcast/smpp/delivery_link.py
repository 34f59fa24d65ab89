"""The part of a session that takes deliveries: deliver_sm and data_sm, and their answers (SMPP 3.4, 4.6, 4.7)."""

from collections.abc import Callable, Sequence

from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.command_status import ROK, RX_T_APPN
from broadcast.smpp.codec.message import Delivery, octets_of
from broadcast.smpp.codec.pdu import (
    DATA_SM,
    DATA_SM_RESP,
    DELIVER_SM_RESP,
    Pdu,
    SequenceCounter,
    encode_acknowledgements,
)
from broadcast.smpp.codec.reader import LARGE_OCTETS, Batch
from broadcast.smpp.link import Link


class DeliveryLink(Link):
    """A link that counts the deliveries without an answer, and sends back those above its limits.

    `deliveries_limit` is for all of them, `deliveries_octets_limit` for the octets of those that are large.
    """

    def __init__(self, config: BindConfig, clock: Callable[[], float], sequences: SequenceCounter | None) -> None:
        super().__init__(config, clock, sequences)
        self._data_sequences: set[int] = set()
        self._unanswered_deliveries = 0
        # The octets of large deliveries by sequence number; an SMSC may use a number twice.
        self._large: dict[int, list[int]] = {}
        self._large_octets = 0

    def answer(self, sequences: Sequence[int], status: int = ROK) -> None:
        """Answer deliveries by their sequence numbers, in one write.

        After the end of the session it does nothing: the SMSC will send them again.
        """
        self._unanswered_deliveries = max(0, self._unanswered_deliveries - len(sequences))
        if self._large:
            self._release(sequences)
        if self._data_sequences:
            data = self._data_sequences.intersection(sequences)
            self._data_sequences -= data
            self._write(encode_acknowledgements(DATA_SM_RESP, status, [each for each in sequences if each in data]))
            sequences = [each for each in sequences if each not in data]
        self._write(encode_acknowledgements(DELIVER_SM_RESP, status, sequences))

    def _handle(self, pdu: Pdu, batch: Batch) -> None:
        if pdu.command == DATA_SM:
            self._data_sequences.add(pdu.sequence)
        else:
            super()._handle(pdu, batch)

    def _admit(self, batch: Batch) -> list[Delivery]:
        """Count deliveries that came in; those that there is room for. The others are answered with RX_T_APPN."""
        deliveries = batch.deliveries
        self._unanswered_deliveries += len(deliveries)
        if batch.has_large:
            deliveries = self._admit_octets(deliveries)
        excess = self._unanswered_deliveries - self.config.deliveries_limit
        if excess <= 0:
            return deliveries
        kept = max(0, len(deliveries) - excess)
        self.answer([delivery.sequence for delivery in deliveries[kept:]], RX_T_APPN)
        return deliveries[:kept]

    def _admit_octets(self, deliveries: list[Delivery]) -> list[Delivery]:
        kept: list[Delivery] = []
        refused: list[int] = []
        for delivery in deliveries:
            octets = octets_of((delivery,))
            if octets <= LARGE_OCTETS:
                kept.append(delivery)
            elif self._large_octets + octets > self.config.deliveries_octets_limit:
                refused.append(delivery.sequence)
            else:
                self._large.setdefault(delivery.sequence, []).append(octets)
                self._large_octets += octets
                kept.append(delivery)
        if refused:
            self.answer(refused, RX_T_APPN)
        return kept

    def _release(self, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            octets = self._large.get(sequence)
            if octets is not None:
                self._large_octets -= octets.pop(0)
                if not octets:
                    del self._large[sequence]
