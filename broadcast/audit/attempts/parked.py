"""Parked receipts whose attempt came to another recorder, or after this one had forgotten them: joined late."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import asyncpg

from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.attempts.counters import add_to_counters, lock_and_recount
from broadcast.audit.attempts.joining import join
from broadcast.audit.attempts.metrics import report_first, report_repeated
from broadcast.audit.attempts.receipts import MergedReceipt, merge
from broadcast.audit.chunk_states.chunk_ends import ChunkEnds
from broadcast.audit.chunk_states.moves import merge_moves
from broadcast.audit.outcomes.outcome_counts import add_outcomes
from broadcast.audit.receipt_owner import FITS_BY_ID_ALONE, REUSED_AFTER, same_number
from broadcast.audit.undelivered import OtherRoutes, note_undelivered, number_routes

SHARD = -1
"""Of the counters of what is joined here: apart from those of the recorders' batches."""

AT_ONCE = 5_000

RECENT: Final = 50_000
"""Most receipts of the last minute that are looked at each second, the newest; the others are old soon."""

_RECENT = f"""
WITH p AS MATERIALIZED (
    SELECT message_key, number_hash FROM parked_receipts
    WHERE parked_at BETWEEN now() - interval '65 seconds' AND now() - interval '1 second'
    ORDER BY parked_at DESC, message_key DESC LIMIT {RECENT}
)
"""

_OLD = f"""
WITH p AS MATERIALIZED (
    SELECT message_key, number_hash, by_text FROM parked_receipts
    WHERE (parked_at, message_key) > ($2::timestamptz, $3::bigint)
        AND (parked_at, message_key) <= ($4::timestamptz, $5::bigint)
        AND parked_at BETWEEN now() - interval '{REUSED_AFTER}' AND now() - interval '60 seconds'
    ORDER BY parked_at, message_key
)
"""
"""The order has the index of time walked, whatever the statistics say."""

_FIND = f"""
SELECT DISTINCT p.message_key, p.number_hash FROM p WHERE EXISTS (
    SELECT FROM attempts a WHERE a.message_key = p.message_key AND {same_number("a", "p.number_hash")} OFFSET 0
) LIMIT $1
"""
"""OFFSET 0, here and below, keeps the parked outside and the index inside: see `joining`."""

_FIND_RECENT = _RECENT + _FIND
_FIND_OLD = _OLD + _FIND

_OTHER_NUMBER = f"""
{_OLD}
SELECT p.message_key, p.number_hash, min(a.number_hash) AS owner FROM p
CROSS JOIN LATERAL (SELECT * FROM attempts b WHERE b.message_key = p.message_key OFFSET 0) a
WHERE NOT p.by_text GROUP BY 1, 2
HAVING {FITS_BY_ID_ALONE} LIMIT $1
"""
"""After a minute the id alone decides."""

_END_OF_SLICE = f"""
SELECT p.parked_at, p.message_key FROM parked_receipts p WHERE (p.parked_at, p.message_key) > ($2, $3)
    AND p.parked_at > now() - interval '{REUSED_AFTER}'
ORDER BY p.parked_at, p.message_key OFFSET $1 LIMIT 1
"""

_GIVE_UP = f"""
WITH gone AS (
    DELETE FROM parked_receipts WHERE ctid = ANY (ARRAY(
        SELECT p.ctid FROM parked_receipts p WHERE p.parked_at < now() - interval '{REUSED_AFTER}'
        ORDER BY p.parked_at LIMIT $1
    )) RETURNING *
), moved AS (
    INSERT INTO given_up_receipts (message_key, number_hash, evidence_id, received_at, state, error, parked_at,
        account, by_text, nameless)
    SELECT p.message_key, p.number_hash, p.evidence_id, p.received_at, p.state, p.error, p.parked_at,
        p.account, p.by_text, NOT EXISTS (SELECT FROM attempts a
            WHERE a.message_key = p.message_key AND {same_number("a", "p.number_hash")} OFFSET 0)
    FROM gone p RETURNING true
)
SELECT count(*) FROM moved
"""

_TAKE = """
DELETE FROM parked_receipts p
USING unnest($1::bigint[], $2::bigint[]) AS t(key, hash) CROSS JOIN LATERAL (
    SELECT q.ctid FROM parked_receipts q WHERE q.message_key = t.key AND q.number_hash = t.hash OFFSET 0
) c
WHERE p.ctid = c.ctid
RETURNING p.message_key, p.number_hash, p.state, p.received_at, p.error, p.evidence_id,
    p.account, p.by_text, p.parked_at
"""


class Place(NamedTuple):
    """A place among parked receipts, in the order of time."""

    parked_at: datetime
    message_key: int


BEGIN: Final = Place(datetime.min.replace(tzinfo=UTC), 0)
_END: Final = Place(datetime.max.replace(tzinfo=UTC), 0)


async def join_and_commit_parked(
    connection: asyncpg.Connection, others: OtherRoutes | None = None, *, old: bool = False
) -> int:
    """Join receipts parked in the last minute, with `old` all of the last week, and commit; how many were joined.

    Receipts of one message with one number hash count as one. `others` are the routes of what is undelivered.
    """
    found = await connection.fetch(_FIND_RECENT, AT_ONCE)
    pairs = [(row["message_key"], row["number_hash"], row["number_hash"]) for row in found]
    joined = await _join_and_commit(connection, sorted(set(pairs)), others or {}) if pairs else 0
    place = BEGIN if old else None
    while place is not None:
        more, place = await join_and_commit_old(connection, others, place)
        joined += more
    return joined


async def join_and_commit_old(
    connection: asyncpg.Connection, others: OtherRoutes | None, after: Place
) -> tuple[int, Place | None]:
    """Join what was parked a minute to a week ago, of the next `AT_ONCE` rows, and commit.

    How many were joined, and the place to go on from; None when there are no more rows.
    """
    row = await connection.fetchrow(_END_OF_SLICE, AT_ONCE - 1, *after)
    last = None if row is None else Place(*row)
    span = (AT_ONCE, *after, *(last or _END))
    found = await connection.fetch(_FIND_OLD, *span)
    pairs = [(row["message_key"], row["number_hash"], row["number_hash"]) for row in found]
    other = await connection.fetch(_OTHER_NUMBER, *span)
    pairs += [(row["message_key"], row["number_hash"], row["owner"]) for row in other]
    return await _join_and_commit(connection, sorted(set(pairs)), others or {}) if pairs else 0, last


async def give_up_parked(connection: asyncpg.Connection) -> int:
    """Move receipts that no attempt may claim any more, at most `AT_ONCE`; how many. They stay listed."""
    moved: int = await connection.fetchval(_GIVE_UP, AT_ONCE)
    return moved


async def _join_and_commit(
    connection: asyncpg.Connection, pairs: Sequence[tuple[int, int, int]], others: OtherRoutes
) -> int:
    owners = {(key, number): owner for key, number, owner in pairs}
    other_of: dict[int, str] = {}
    if others:
        names = await account_names(connection)
        other_of = number_routes(others, {name: number for number, name in names.items()})
    async with connection.transaction():
        rows = await connection.fetch(_TAKE, [key for key, _ in owners], [number for _, number in owners])
        receipts: dict[tuple[int, int], MergedReceipt] = {}
        taken: dict[tuple[int, int], list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            owner = owners[row["message_key"], row["number_hash"]]
            one = MergedReceipt(
                row["message_key"], owner, row["state"], row["received_at"], row["error"] or "", (row["evidence_id"],)
            )
            match = (row["message_key"], owner)
            receipts[match] = merge(receipts[match], one) if match in receipts else one
            taken[match].append(row)
        joined = await join(connection, list(receipts.values()), exact=True, undelivered_of=other_of.keys())
        await _put_back(
            connection, [row for one in joined.unmatched for row in taken[one.message_key, one.number_hash]]
        )
        moves = [joined.moves]
        if joined.needs_recount:
            moves.append(await lock_and_recount(connection, joined.needs_recount, (), joined.before))
        await add_to_counters(connection, SHARD, merge_moves(moves), ChunkEnds())
        await add_outcomes(connection, SHARD, joined.outcomes)
        if other_of:
            await note_undelivered(connection, joined.undelivered, other_of)
    if joined.latencies or joined.repeated:
        names = await account_names(connection)
        report_first("late", joined.latencies, names)
        report_repeated(joined.repeated, names)
    return len(receipts) - len(joined.unmatched)


async def _put_back(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> None:
    """Park receipts as they were: parked anew, they would be looked at each second for ever."""
    if rows:
        await connection.copy_records_to_table(
            "parked_receipts", columns=tuple(rows[0].keys()), records=[tuple(row.values()) for row in rows]
        )
