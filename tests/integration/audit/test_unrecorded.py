"""Counting those of whom no submit is recorded costs nothing beside the attempts of the others."""

from uuid import UUID

import asyncpg

from broadcast.audit.deliveries.unrecorded import UNRECORDED, count_unrecorded

ALERT = UUID(int=7)
OTHERS, UNKNOWN = 20_000, 50

_ATTEMPTS = """
INSERT INTO attempts (alert_id, recipient_id, message_key, number_hash, evidence_id, error, submitted_at, answered_at,
    account, attempt, segment, segments, outcome, possible_duplicate, only_attempt, receipt_state)
SELECT $1::uuid, n, CASE WHEN n > $2 THEN n END, n, 1, 0, CASE WHEN n > $2 THEN now() END, now(), 1, 1, 1, 1,
    CASE WHEN n > $2 THEN 0 ELSE 4 END, n <= $2, true, CASE WHEN n > $2 THEN 1 END
FROM generate_series(1, $3::bigint) n
"""


async def test_those_without_a_submit_are_counted_by_an_index_of_their_own(connection: asyncpg.Connection) -> None:
    await connection.execute(_ATTEMPTS, ALERT, UNKNOWN, OTHERS + UNKNOWN)
    await connection.execute("ANALYZE attempts")
    assert await count_unrecorded(connection, ALERT) == UNKNOWN
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {UNRECORDED}", ALERT))
    assert "attempts_unsubmitted" in plan, plan
