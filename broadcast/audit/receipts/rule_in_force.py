"""The id rule by which an account works: that of its newest receipt, whether it matched or not."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import read_records
from broadcast.database import Connection
from broadcast.kafka.batches import UNREADABLE
from schemas.receipt import Receipt

T = TypeVar("T")

_PARKED = """
SELECT evidence_id, to_timestamp(received_at / 1000.0) AS received_at FROM parked_receipts p
WHERE account = $1 ORDER BY p.received_at DESC LIMIT 1
"""

_MATCHED = """
SELECT receipt_evidence FROM attempts
WHERE account = $1 AND submitted_at > $2::timestamptz - interval '1 day' AND receipt_at >= $2
ORDER BY receipt_at DESC LIMIT 1
"""
"""Nearly all receipts come within a day of their submit. Ids of segments say nothing about time: each recorder reserves
many at once."""

decode_receipt: Final = msgspec.json.Decoder(Receipt).decode


async def read_rule_in_force(connection: Connection, number: int, name: str) -> str:
    """The name of the rule with which the newest receipt of an account was read; empty for `as_is`.

    `number` is the account's in the audit. An account of which no receipt was parked has no rule here: it is empty.
    """
    parked = await connection.fetchrow(_PARKED, number)
    if parked is None:
        return ""
    segments = {parked["evidence_id"]}
    newest: datetime = parked["received_at"]
    segments.update(await connection.fetchval(_MATCHED, number, newest) or ())
    at, rule = 0, ""
    for segment in segments:
        for receipt in decode_each(await read_records(connection, segment), decode_receipt):
            if receipt.account == name and receipt.raw is None and receipt.received_at >= at:
                at, rule = receipt.received_at, receipt.id_rule
    return rule


def decode_each(records: Iterable[RawRecord], decode: Callable[[bytes], T]) -> Iterable[T]:
    """The records that can be read, decoded."""
    for record in records:
        try:
            yield decode(record.value or b"")
        except UNREADABLE:
            continue
