"""The receipts of one message as one, whatever their order and however often they are repeated. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from broadcast.audit.codes import CODE_OF_RECEIPT
from broadcast.audit.message_key import message_key
from schemas.receipt import Receipt


class MergedReceipt(NamedTuple):
    """The receipts with one message key and number hash as one; `code` is that of the best (audit/codes.py).

    `received_at` in milliseconds since the epoch; `evidence_ids` are all segments that hold one of them. `by_text`:
    only a text said that it is a receipt, so that its number must be the one of the attempt.
    """

    message_key: int
    number_hash: int
    code: int
    received_at: int
    error: str
    evidence_ids: tuple[int, ...]
    account: str = ""
    by_text: bool = False


def merge(one: MergedReceipt, other: MergedReceipt) -> MergedReceipt:
    """Both as one: the higher code counts, among equals the earlier, then the greater error.

    The order of the two does not matter, and merging the same receipt again changes nothing.
    """
    best = max(one, other, key=_rank)
    if one.by_text != other.by_text:
        best = best._replace(by_text=False)
    if one.evidence_ids == other.evidence_ids:
        return best
    ids = tuple(sorted({*one.evidence_ids, *other.evidence_ids}))
    return best._replace(evidence_ids=ids)


def _rank(receipt: MergedReceipt) -> tuple[int, int, str]:
    return receipt.code, -receipt.received_at, receipt.error


def merge_receipts(
    receipts: Iterable[Receipt], timestamps: Iterable[int], evidence_id: int, into: dict[int, MergedReceipt]
) -> None:
    """Add receipts to `into`, keyed by message key XOR number hash: what an attempt must match to own them.

    `timestamps` are those of their Kafka records, for receipts that do not say when they were received.
    """
    evidence = (evidence_id,)
    for receipt, timestamp in zip(receipts, timestamps, strict=True):
        key = message_key(receipt.account, receipt.message_id)
        match = key ^ receipt.number_hash
        merged = MergedReceipt(
            key,
            receipt.number_hash,
            CODE_OF_RECEIPT[receipt.state],
            receipt.received_at or timestamp,
            receipt.error.replace("\0", "")[:64],
            evidence,
            receipt.account,
            receipt.by_text,
        )
        known = into.get(match)
        into[match] = merged if known is None else merge(known, merged)


class ParkedCache:
    """The newest parked receipts in memory, so that the attempt that follows finds its own at once. Bounded.

    What is forgotten here is still in the table, and the sweep joins it.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self.limit = limit
        self.receipts: dict[int, MergedReceipt] = {}

    def add(self, unmatched: Iterable[MergedReceipt]) -> None:
        """Remember these, and forget the oldest beyond the limit."""
        for one in unmatched:
            match = one.message_key ^ one.number_hash
            known = self.receipts.get(match)
            self.receipts[match] = one if known is None else merge(known, one)
        for match in list(self.receipts)[: max(0, len(self.receipts) - self.limit)]:
            del self.receipts[match]
