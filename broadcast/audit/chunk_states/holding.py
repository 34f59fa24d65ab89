"""Which chunks of an audience hold recipients in a state, and how many: from counters, without reading attempts."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from broadcast.audit.chunk_states.moves import CHANGES, NO_CHUNK
from broadcast.audit.chunk_states.reading import SUPPRESSED
from broadcast.audit.codes import POSSIBLE_DUPLICATES, QUEUED
from broadcast.database import Connection

RARE: Final = 8
"""A state is rare in a chunk if at most one of so many recipients is in it: then they are listed."""

_UNASSIGNED = "SELECT EXISTS (SELECT FROM chunk_counters WHERE alert_id = $1 AND chunk = $2)"

_ALL = "SELECT chunk, count AS size, count AS holding, false AS listed FROM chunks WHERE alert_id = $1 AND last_id > $2"

_HOLDING = f"""
WITH counted AS (
    SELECT chunk, coalesce(sum(count) FILTER (WHERE state = $3), 0) AS holding,
        coalesce(sum(count) FILTER (WHERE state < {POSSIBLE_DUPLICATES}), 0) AS attempted,
        coalesce(sum(count) FILTER (WHERE state = {CHANGES}), 0) AS changes
    FROM chunk_counters WHERE alert_id = $1 GROUP BY chunk
), chunked AS (
    SELECT c.chunk, c.count AS size, coalesce(n.changes, 0) AS changes, CASE $3
        WHEN {SUPPRESSED} THEN s.count
        WHEN {QUEUED} THEN c.count - s.count - coalesce(n.attempted, 0)
        ELSE coalesce(n.holding, 0) END AS holding
    FROM chunks c LEFT JOIN counted n USING (chunk) CROSS JOIN LATERAL (
        SELECT CASE WHEN c.suppressed = '{{}}' THEN 0
            ELSE (SELECT count(*) FROM jsonb_object_keys(c.suppressed)) END AS count
    ) s
    WHERE c.alert_id = $1 AND c.last_id > $2
)
SELECT k.chunk, k.size, k.holding::bigint, l.changes IS NOT NULL AS listed
FROM chunked k LEFT JOIN chunk_lists l
    ON l.alert_id = $1 AND l.chunk = k.chunk AND l.state = $3 AND l.changes = k.changes
WHERE k.holding > 0 ORDER BY k.chunk
"""

_LISTS = """
SELECT recipients FROM chunk_lists WHERE alert_id = $1 AND state = $2 AND chunk = ANY ($3::integer[]) ORDER BY chunk
"""


class Holding(NamedTuple):
    """A chunk of `size` recipients of whom `holding` are in the state asked for; `listed` if their ids are stored."""

    chunk: int
    size: int
    holding: int
    listed: bool


async def find_holding(connection: Connection, alert_id: UUID, state: int | None, after: int) -> list[Holding]:
    """Chunks with recipients in a state (its code; None: in any) whose ids are above `after`, ascending.

    Every chunk, while the alert is not counted by chunk.
    """
    if state is None or await connection.fetchval(_UNASSIGNED, alert_id, NO_CHUNK):
        rows = await connection.fetch(f"{_ALL} ORDER BY chunk", alert_id, after)
    else:
        rows = await connection.fetch(_HOLDING, alert_id, after, state)
    return [Holding(*row) for row in rows]


async def read_lists(connection: Connection, alert_id: UUID, state: int, chunks: Sequence[int]) -> list[int]:
    """The recipients in a state of chunks that are `listed`, ids ascending."""
    rows = await connection.fetch(_LISTS, alert_id, state, chunks)
    return [recipient_id for row in rows for recipient_id in row["recipients"]]
