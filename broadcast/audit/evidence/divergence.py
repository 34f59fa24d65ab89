"""Where Kafka's log stops being what evidence holds: Kafka lost its tail, or is an old copy."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import asyncpg

from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import is_same_record, read_records

Fetch = Callable[[int, int], Awaitable[Sequence[RawRecord]]]
"""Reads Kafka's records of one partition from an offset (inclusive) to another (exclusive), those that exist."""


class _Span(NamedTuple):
    """A segment, cut where a later epoch begins: only its records before `until` stood last for the log."""

    id: int
    until: int


async def find_divergence(connection: asyncpg.Connection, topic: str, partition: int, begin: int, fetch: Fetch) -> int:
    """The first offset from which Kafka's records are not those of evidence; there a new epoch begins.

    Everything before it is equal, so it is the end of a common beginning and is found by halving. `begin` is the first
    offset that Kafka still has; segments before it cannot be compared and count as equal.
    """
    spans = await _spans(connection, topic, partition)
    equal, different = 0, len(spans)
    while equal < different:
        middle = (equal + different) // 2
        if await _begins_equal(connection, spans[middle], begin, fetch):
            equal = middle + 1
        else:
            different = middle
    if equal == 0:
        return begin
    span = spans[equal - 1]
    records = [record for record in await read_records(connection, span.id) if record.offset < span.until]
    comparable = [record for record in records if record.offset >= begin]
    if not comparable:
        return max(begin, records[-1].offset + 1 if records else begin)
    found = {record.offset: record for record in await fetch(comparable[0].offset, comparable[-1].offset + 1)}
    divergence = comparable[0].offset
    for record in comparable:
        if not is_same_record(record, found.get(record.offset)):
            break
        divergence = record.offset + 1
    return divergence


async def _spans(connection: asyncpg.Connection, topic: str, partition: int) -> list[_Span]:
    rows = await connection.fetch(
        "SELECT id, epoch, from_offset, to_offset, count FROM evidence WHERE topic = $1 AND partition = $2 "
        "ORDER BY epoch DESC, from_offset DESC",
        topic,
        partition,
    )
    spans: list[_Span] = []
    epoch, limit, lowest = -1, 2**63, 2**63
    for row in rows:
        if row["epoch"] != epoch:
            epoch, limit = row["epoch"], lowest
        if row["from_offset"] < limit:
            if row["count"]:
                spans.append(_Span(row["id"], min(row["to_offset"], limit)))
            lowest = min(lowest, row["from_offset"])
    return spans[::-1]


async def _begins_equal(connection: asyncpg.Connection, span: _Span, begin: int, fetch: Fetch) -> bool:
    first = (await read_records(connection, span.id))[0]
    if first.offset < begin:
        return True
    found = await fetch(first.offset, first.offset + 1)
    return bool(found) and is_same_record(first, found[0])
