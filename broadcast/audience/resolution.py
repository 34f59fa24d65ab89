"""Resolving an audience: groups to people, at one instant, stored as chunks before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from broadcast.audience.chunks import GENESIS
from broadcast.database import Connection
from broadcast.errors import InputError

PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), set_config('work_mem', '64MB', true)
"""
# Nothing is known of an audience's size when its statement is planned, and the averages mislead: a group of a
# thousand in a directory of a million must never read the whole table, nor wait for a compiler.

RESOLVE = """
WITH RECURSIVE
wanted AS MATERIALIZED (
    SELECT DISTINCT name FROM unnest($2::text[]) AS asked (name)
),
missing AS MATERIALIZED (
    SELECT coalesce(array_agg(name ORDER BY name), '{}') AS names
    FROM wanted WHERE NOT EXISTS (SELECT FROM groups WHERE groups.name = wanted.name)
),
reached (group_id) AS (
    SELECT groups.id FROM wanted JOIN groups USING (name)
    UNION
    SELECT group_groups.child_id FROM group_groups JOIN reached ON group_groups.parent_id = reached.group_id
),
whole AS MATERIALIZED (
    SELECT ARRAY(
        SELECT DISTINCT members.recipient_id
        FROM reached CROSS JOIN LATERAL (
            SELECT recipient_id FROM group_members WHERE group_members.group_id = reached.group_id OFFSET 0
        ) AS members
        WHERE (SELECT cardinality(names) = 0 FROM missing)
          AND (NOT $4 OR (SELECT participant FROM recipients WHERE id = members.recipient_id AND participant))
        ORDER BY members.recipient_id
    ) AS ids
),
pieces AS MATERIALIZED (
    SELECT number AS chunk, whole.ids[number * $3 + 1:(number + 1) * $3] AS ids
    FROM whole, generate_series(0, (cardinality(whole.ids) + $3 - 1) / $3 - 1) AS number
),
judged AS MATERIALIZED (
    SELECT chunk, ids, (
        SELECT coalesce(jsonb_object_agg(barred.id, barred.suppressed), '{}')
        FROM unnest(pieces.ids) AS member (id) CROSS JOIN LATERAL (
            SELECT id, suppressed FROM recipients
            WHERE recipients.id = member.id AND recipients.suppressed IS NOT NULL OFFSET 0
        ) AS barred
    ) AS suppressed
    FROM pieces
),
digested AS MATERIALIZED (
    SELECT chunk, ids, suppressed, sha256(convert_to(
        $1::uuid::text || E'\n' || chunk || E'\n' || array_to_string(ids, ',') || E'\n' || suppressed || E'\n', 'UTF8'
    )) AS digest
    FROM judged
),
chained (chunk, chain) AS (
    SELECT -1, $5::bytea
    UNION ALL
    SELECT digested.chunk, sha256(chained.chain || digested.digest)
    FROM chained JOIN digested ON digested.chunk = chained.chunk + 1
),
audience AS (
    INSERT INTO audiences (alert_id, groups, participants_only, missing, count, suppressed, chunks, chain, snapshot)
    SELECT $1, $2, $4, missing.names, cardinality(whole.ids),
           (SELECT coalesce(sum((SELECT count(*) FROM jsonb_object_keys(suppressed))), 0) FROM digested),
           (SELECT count(*) FROM digested),
           (SELECT chain FROM chained ORDER BY chunk DESC LIMIT 1), pg_current_snapshot()
    FROM whole, missing
    ON CONFLICT DO NOTHING
    RETURNING alert_id
)
INSERT INTO chunks (alert_id, chunk, first_id, last_id, count, recipients, suppressed, digest, chain)
SELECT audience.alert_id, chunk, ids[1], ids[cardinality(ids)], cardinality(ids), ids, suppressed, digest, chain
FROM audience, digested JOIN chained USING (chunk)
"""
# The row in `audiences` decides: who inserts it stores the chunks, everybody else stores none. So a repeat, and a
# second expander at the same moment with a directory that has changed between, can never add chunks to another's.
# The snapshot is that of this one statement: chunks give the numbers that it saw (`number_changes`).

READ_BACK = "SELECT count, suppressed, chunks, chain, missing FROM audiences WHERE alert_id = $1"

REACHED = """
WITH RECURSIVE reached (group_id) AS (
    SELECT id FROM groups WHERE name = ANY ($1::text[])
    UNION
    SELECT group_groups.child_id FROM group_groups JOIN reached ON group_groups.parent_id = reached.group_id
)
"""

PEOPLED = f"""{REACHED}
SELECT EXISTS (
    SELECT FROM reached CROSS JOIN LATERAL (
        SELECT FROM group_members AS members WHERE members.group_id = reached.group_id
            AND (NOT $2 OR EXISTS (SELECT FROM recipients WHERE id = members.recipient_id AND participant)) LIMIT 1
    ) AS somebody
)
"""

MEMBERS = f"{REACHED} SELECT count(DISTINCT recipient_id) FROM reached JOIN group_members USING (group_id)"

MISSING = """
SELECT DISTINCT asked.name FROM unnest($1::text[]) AS asked (name)
WHERE NOT EXISTS (SELECT FROM groups WHERE groups.name = asked.name) ORDER BY 1
"""


RESOLVE_SECONDS = 600.0
"""For an audience of any size: a million take 2 to 3 s, and what takes longer than a query may is not given up."""


@dataclass(frozen=True, slots=True)
class Audience:
    """A resolved audience: people in it, how many of them are suppressed, stored chunks, chain of the last chunk.

    `missing` names groups that did not exist at that instant; the audience is then empty: a lost target
    refuses, and what is left of it is not the target.
    """

    count: int
    suppressed: int
    chunks: int
    chain: bytes
    missing: tuple[str, ...] = ()


async def missing_groups(connection: Connection, groups: Sequence[str]) -> list[str]:
    """Those of `groups` that the directory does not hold, in alphabetical order."""
    return [row[0] for row in await connection.fetch(MISSING, list(groups))]


async def has_people(connection: Connection, groups: Sequence[str], *, participants_only: bool) -> bool:
    """Whether anybody (any participant) is in the groups, or in those within them."""
    found: bool = await connection.fetchval(PEOPLED, list(groups), participants_only)
    return found


async def count_members(connection: Connection, groups: Sequence[str]) -> int:
    """How many people are in the groups, or in those within them, participants or not."""
    found: int = await connection.fetchval(MEMBERS, list(groups))
    return found


async def resolve(
    connection: Connection, alert_id: UUID, groups: Sequence[str], *, chunk_size: int, participants_only: bool
) -> Audience:
    """Resolve and store the audience of an alert, once: every later call reads back what the first stored.

    Everybody in `groups` and in the groups within them, each person once, suppressed people included, in chunks
    of `chunk_size` ascending ids; only marked participants if `participants_only`. Chunk digests and chain are
    those of `broadcast.audience.chunks`. Runs in a transaction (the caller's, if there is one, whose plan settings
    it changes until the end). Raises InputError when there is no group or `chunk_size` is below 1.
    """
    if not groups:
        raise InputError(f"groups of alert {alert_id} are empty: name at least one; nobody is addressed by default")
    if chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size}: it must be at least 1")
    async with connection.transaction():
        found = await connection.fetchrow(READ_BACK, alert_id)
        if found is None:
            await connection.execute(PLAN)
            await connection.execute(
                *(RESOLVE, alert_id, list(groups), chunk_size, participants_only, GENESIS), timeout=RESOLVE_SECONDS
            )
            found = await connection.fetchrow(READ_BACK, alert_id)
    assert found is not None  # noqa: S101 (this statement or another's has stored it)
    count, suppressed, chunks, chain, missing = found
    return Audience(count, suppressed, chunks, chain, tuple(missing))
