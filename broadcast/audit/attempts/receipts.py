"""What receipts say of one message, whatever their order and however often they are repeated. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from broadcast.audit.codes import CODE_OF_RECEIPT
from broadcast.audit.keys import message_key
from schemas.receipt import Receipt


class Heard(NamedTuple):
    """The receipts with one message key and number hash, as one: `code` is that of the best (audit/codes.py).

    `received_at` in milliseconds since the epoch; `evidence_ids` are all segments that hold one of them.
    """

    message_key: int
    number_hash: int
    code: int
    received_at: int
    error: str
    evidence_ids: tuple[int, ...]


def merge(one: Heard, other: Heard) -> Heard:
    """Both as one: the higher code counts, among equals the earlier, then the greater error. Commutes, and repeats."""
    best = max(one, other, key=_rank)
    if one.evidence_ids == other.evidence_ids:
        return best
    ids = tuple(sorted({*one.evidence_ids, *other.evidence_ids}))
    return best._replace(evidence_ids=ids)


def _rank(heard: Heard) -> tuple[int, int, str]:
    return heard.code, -heard.received_at, heard.error


def gather(receipts: Iterable[Receipt], timestamps: Iterable[int], evidence_id: int, into: dict[int, Heard]) -> None:
    """Add receipts to `into`, keyed by message key XOR number hash: what an attempt must match to own them.

    `timestamps` are those of their Kafka records, for receipts that say not when they were received.
    """
    evidence = (evidence_id,)
    for receipt, timestamp in zip(receipts, timestamps, strict=True):
        key = message_key(receipt.account, receipt.message_id)
        match = key ^ receipt.number_hash
        heard = Heard(
            key,
            receipt.number_hash,
            CODE_OF_RECEIPT[receipt.state],
            receipt.received_at or timestamp,
            receipt.error.replace("\0", "")[:64],
            evidence,
        )
        known = into.get(match)
        into[match] = heard if known is None else merge(known, heard)
