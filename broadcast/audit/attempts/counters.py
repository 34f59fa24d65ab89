"""Counters of alerts and chunks by state, kept exact by changes instead of by counting rows."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import asyncpg

from broadcast.audit.attempts.joining import RowKey
from broadcast.audit.attempts.rows import Recipient
from broadcast.audit.chunk_states.chunk_ends import ChunkEnds
from broadcast.audit.chunk_states.moves import Moves, add_up, add_up_by_chunk
from broadcast.audit.codes import CODE_OF_STATE, POSSIBLE_DUPLICATES, QUEUED
from broadcast.audit.coverage import Part, state_of_parts

LOCK_CLASS = 0xA0D1
"""First key of the advisory locks of this module; the second is the alert's."""

_ATTEMPTS = """
SELECT recipient_id, evidence_id, attempt, segment, segments, message_key, submitted_at, outcome,
    receipt_state AS receipt, possible_duplicate, only_attempt,
    account, receipt_covers_message AS covers
FROM attempts WHERE alert_id = $1::text::uuid AND recipient_id = ANY ($2::bigint[])
"""


async def lock_and_recount(
    connection: asyncpg.Connection,
    recipients: Iterable[Recipient],
    own_evidence: Collection[int],
    before: Mapping[RowKey, int | None],
) -> Moves:
    """What this transaction did to recipients with several attempts; locks each alert until it ends.

    `own_evidence` are the segments whose attempts it copied; `before` are the codes of receipts that it replaced.
    Two recorders that do this for one alert wait for each other; so their moves add up, whatever each could see.
    """
    by_alert: dict[str, list[int]] = defaultdict(list)
    for alert_id, recipient_id in recipients:
        by_alert[alert_id].append(recipient_id)
    moves: Moves = {}
    for alert_id in sorted(by_alert):
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", LOCK_CLASS, alert_id)
        await _find_moves(connection, alert_id, sorted(by_alert[alert_id]), own_evidence, before, moves)
    return moves


async def _find_moves(  # noqa: PLR0917 (called once)
    connection: asyncpg.Connection,
    alert_id: str,
    recipient_ids: list[int],
    own_evidence: Collection[int],
    before: Mapping[RowKey, int | None],
    moves: Moves,
) -> None:
    rows = await connection.fetch(_ATTEMPTS, alert_id, recipient_ids)
    if any(row["only_attempt"] for row in rows):
        # Waits for a receipt that another recorder is writing there, and makes it recount too, next time.
        await connection.execute(
            "UPDATE attempts SET only_attempt = false "
            "WHERE alert_id = $1::text::uuid AND recipient_id = ANY ($2::bigint[]) AND only_attempt",
            alert_id,
            recipient_ids,
        )
        rows = await connection.fetch(_ATTEMPTS, alert_id, recipient_ids)
    grouped: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        grouped[row["recipient_id"]].append(row)
    for recipient_id, attempts in grouped.items():
        was: list[Part] = []
        now: list[Part] = []
        was_marked = now_marked = False
        for row in attempts:
            part = Part._make(row[name] for name in Part._fields)
            now.append(part)
            now_marked |= row["possible_duplicate"]
            if row["evidence_id"] in own_evidence:
                continue
            submit = alert_id, row["recipient_id"], row["evidence_id"]
            key = (*submit, part.attempt, part.segment, row["message_key"])
            was.append(part._replace(receipt=before.get(key, part.receipt)))
            was_marked |= row["possible_duplicate"]
        kind = alert_id, CODE_OF_STATE[state_of_parts(was)], CODE_OF_STATE[state_of_parts(now)]
        moves.setdefault(kind, []).append(recipient_id)
        if now_marked and not was_marked:
            moves.setdefault((alert_id, QUEUED, POSSIBLE_DUPLICATES), []).append(recipient_id)


_ADD = """
WITH alerts AS (
    INSERT INTO counters (alert_id, shard, state, count)
    SELECT a::uuid, $1, s, n FROM unnest($2::text[], $3::smallint[], $4::bigint[]) AS t(a, s, n)
    ON CONFLICT (alert_id, shard, state) DO UPDATE SET count = counters.count + excluded.count
)
INSERT INTO chunk_counters (alert_id, chunk, shard, state, count)
SELECT a::uuid, c, $1, s, n FROM unnest($5::text[], $6::integer[], $7::smallint[], $8::bigint[]) AS t(a, c, s, n)
ON CONFLICT (alert_id, chunk, shard, state) DO UPDATE SET count = chunk_counters.count + excluded.count
"""


async def add_to_counters(connection: asyncpg.Connection, shard: int, moves: Moves, chunks: ChunkEnds) -> None:
    """Add moves to this recorder's counters, of alerts and of their chunks; rows in ascending order."""
    if not moves:
        return
    await chunks.load(connection, {alert_id for alert_id, _, _ in moves})
    by_alert = sorted(add_up(moves).items())
    by_chunk = sorted(add_up_by_chunk(moves, chunks.ends).items())
    await connection.execute(
        _ADD,
        shard,
        [alert_id for (alert_id, _), _ in by_alert],
        [state for (_, state), _ in by_alert],
        [count for _, count in by_alert],
        [alert_id for (alert_id, _, _), _ in by_chunk],
        [chunk for (_, chunk, _), _ in by_chunk],
        [state for (_, _, state), _ in by_chunk],
        [count for _, count in by_chunk],
    )
