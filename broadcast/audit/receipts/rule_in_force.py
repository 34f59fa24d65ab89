"""The id rule by which an account works: that of its newest receipt, whether it matched or not."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import read_records
from broadcast.database import Connection
from broadcast.kafka.batches import UNREADABLE
from schemas.receipt import Receipt

T = TypeVar("T")

SEGMENTS_MAX: Final = 50
"""Segments that are looked through for a receipt of the account, the newest first."""

_PARKED = """
SELECT evidence_id FROM unmatched_receipts p WHERE account = $1 ORDER BY p.received_at DESC LIMIT 1
"""

_NEWEST = """
SELECT e.id FROM evidence e JOIN evidence parked ON parked.topic = e.topic AND parked.partition = e.partition
WHERE parked.id = $1 ORDER BY e.epoch DESC, e.from_offset DESC LIMIT $2
"""
"""All receipts of an account are on one partition, because the account is their key. Ids of segments say nothing about
time: each recorder reserves many at once."""

decode_receipt: Final = msgspec.json.Decoder(Receipt).decode


async def read_rule_in_force(connection: Connection, number: int, name: str) -> str:
    """The name of the rule with which the newest receipt of an account was read; empty for `as_is`.

    `number` is the account's in the audit. An account of which no receipt was parked has no rule here: it is empty.
    How many attempts there are makes no difference. Of an account that sent none in the newest `SEGMENTS_MAX` segments
    of its partition, the newest parked receipt counts.
    """
    parked: int | None = await connection.fetchval(_PARKED, number)
    if parked is None:
        return ""
    newest = [row["id"] for row in await connection.fetch(_NEWEST, parked, SEGMENTS_MAX)]
    for segment in (*newest, parked):
        read = decode_each(await read_records(connection, segment), decode_receipt)
        of_account = [receipt for receipt in read if receipt.account == name and receipt.raw is None]
        if of_account:
            return max(of_account, key=lambda receipt: receipt.received_at).id_rule
    return ""


def decode_each(records: Iterable[RawRecord], decode: Callable[[bytes], T]) -> Iterable[T]:
    """The records that can be read, decoded."""
    for record in records:
        try:
            yield decode(record.value or b"")
        except UNREADABLE:
            continue
