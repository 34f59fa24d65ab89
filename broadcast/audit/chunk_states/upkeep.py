"""Work beside the recording, a little each second: lists of rare states, and counters of old alerts by chunk."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from broadcast.audience.chunks import read_reasons
from broadcast.audit.chunk_states.holding import RARE
from broadcast.audit.chunk_states.moves import CHANGES, NO_CHUNK
from broadcast.audit.chunk_states.reading import SUPPRESSED, read_attempted, read_members
from broadcast.audit.codes import CODE_OF_STATE, POSSIBLE_DUPLICATES, QUEUED
from broadcast.clock import monotonic

SHARD: Final = -2
"""Of the counters that are derived here: apart from those of recorders and of the sweep."""

BUDGET_SECONDS: Final = 0.1
"""Of each second; one chunk takes 3 ms, if its recipients have one attempt each."""

FEW_CHUNKS: Final = 4
"""An audience of so many chunks is looked through at once: nothing is listed. The index `alerts_large` says so too."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

_LARGE = f"""
SELECT a.alert_id, (
    SELECT coalesce(sum(count), 0)::bigint FROM chunk_counters c WHERE c.alert_id = a.alert_id AND c.state = {CHANGES}
) AS changes
FROM alerts a WHERE a.chunks > {FEW_CHUNKS} AND (a.completed_at IS NULL OR a.completed_at > now() - $1::interval)
    AND NOT EXISTS (SELECT FROM chunk_counters c WHERE c.alert_id = a.alert_id AND c.chunk = {NO_CHUNK})
"""

RECENT: Final = timedelta(minutes=5)
"""Alerts that are completed for so long are looked at once in `OLD_LOOKS` looks, not each second."""

OLD: Final = timedelta(days=8)
"""After this no receipt can be joined, so nothing changes."""

OLD_LOOKS: Final = 60

_STATES = "SELECT chunk, state, sum(count)::bigint FROM chunk_counters WHERE alert_id = $1 GROUP BY chunk, state"
_SIZES = """
SELECT chunk, count, (SELECT count(*) FROM jsonb_object_keys(suppressed)) AS suppressed FROM chunks WHERE alert_id = $1
"""
_LISTED = "SELECT chunk, state, changes FROM chunk_lists WHERE alert_id = $1"

_CHANGES = f"""
SELECT coalesce(sum(count), 0)::bigint FROM chunk_counters
WHERE alert_id = $1 AND chunk = $2 AND state = {CHANGES}
"""

_COUNTED = f"""
SELECT state, sum(count)::bigint FROM chunk_counters
WHERE alert_id = $1 AND chunk = $2 AND state < {POSSIBLE_DUPLICATES} GROUP BY state
"""

_ADD = """
INSERT INTO chunk_counters (alert_id, chunk, shard, state, count)
SELECT $1, $2, $3, s, n FROM unnest($4::smallint[], $5::bigint[]) AS t(s, n)
ON CONFLICT (alert_id, chunk, shard, state) DO UPDATE SET count = chunk_counters.count + excluded.count
"""

_LIST = """
INSERT INTO chunk_lists AS known (alert_id, chunk, state, changes, recipients) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (alert_id, chunk, state) DO UPDATE SET changes = excluded.changes, recipients = excluded.recipients
"""


@dataclass(slots=True)
class Upkeep:
    """What is known from the looks before; the work itself stands in the database and can be done again.

    `listed` are the changes of each alert when all its lists were true; `seen` those of its chunks at the last look.
    """

    listed: dict[UUID, int] = field(default_factory=dict)
    seen: dict[UUID, dict[int, int]] = field(default_factory=dict)
    looks: int = 0
    counting: UUID | None = None
    next_chunk: int = 0
    began_with: int = 0

    async def work(self, connection: asyncpg.Connection, budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Count old alerts by chunk, then list; true if nothing is left that could be done."""
        ends_at = monotonic() + budget_seconds
        return await self._count_old(connection, ends_at) and await self._list(connection, ends_at)

    async def _count_old(self, connection: asyncpg.Connection, ends_at: float) -> bool:
        while True:
            if self.counting is None:
                self.counting = await connection.fetchval(
                    f"SELECT c.alert_id FROM chunk_counters c WHERE c.chunk = {NO_CHUNK} "
                    "AND EXISTS (SELECT FROM chunks WHERE chunks.alert_id = c.alert_id) LIMIT 1"
                )
                if self.counting is None:
                    return True
                self.next_chunk = 0
                self.began_with = await connection.fetchval(_CHANGES, self.counting, NO_CHUNK)
            alert_id, chunk = self.counting, self.next_chunk
            async with connection.transaction(isolation="repeatable_read"):
                more = await _count_chunk(connection, alert_id, chunk)
                if not more and await connection.fetchval(_CHANGES, alert_id, NO_CHUNK) == self.began_with:
                    await connection.execute(
                        "DELETE FROM chunk_counters WHERE alert_id = $1 AND chunk = $2", alert_id, NO_CHUNK
                    )
            self.next_chunk += 1
            if not more:
                self.counting = None
            if monotonic() > ends_at:
                return False

    async def _list(self, connection: asyncpg.Connection, ends_at: float) -> bool:
        old = self.looks % OLD_LOOKS == 0
        self.looks += 1
        large = {row["alert_id"]: row["changes"] for row in await connection.fetch(_LARGE, OLD if old else RECENT)}
        if old:
            self.listed = {alert_id: known for alert_id, known in self.listed.items() if alert_id in large}
            self.seen = {alert_id: known for alert_id, known in self.seen.items() if alert_id in large}
        done = True
        for alert_id, changes in large.items():
            if self.listed.get(alert_id) == changes:
                continue
            stale = await _find_stale(connection, alert_id)
            before, self.seen[alert_id] = self.seen.get(alert_id, {}), stale
            # What changed since the last look may change again: listed now, it would have to be listed anew.
            quiet = [chunk for chunk, number in stale.items() if before.get(chunk) == number]
            for number, chunk in enumerate(quiet):
                if monotonic() > ends_at:
                    return False
                await _list_chunk(connection, alert_id, chunk)
                if number + 1 == len(stale):
                    self.listed[alert_id] = changes
            if not stale:
                self.listed[alert_id] = changes
            done = done and self.listed.get(alert_id) == changes
        return done


async def _find_stale(connection: asyncpg.Connection, alert_id: UUID) -> dict[int, int]:
    """Chunks with a rare state of which there is no true list, and how often each was changed."""
    by_chunk: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for chunk, state, number in await connection.fetch(_STATES, alert_id):
        by_chunk[chunk][state] = number
    listed = {(row[0], row[1]): row[2] for row in await connection.fetch(_LISTED, alert_id)}
    stale = {}
    for chunk, size, suppressed in await connection.fetch(_SIZES, alert_id):
        if chunk not in by_chunk:
            continue
        changes = by_chunk[chunk].pop(CHANGES, 0)
        numbers = by_chunk[chunk] | {QUEUED: size - suppressed - sum(by_chunk[chunk].values())}
        if any(
            number > 0 and number * RARE <= size and listed.get((chunk, state)) != changes
            for state, number in numbers.items()
        ):
            stale[chunk] = changes
    return stale


async def _count_chunk(connection: asyncpg.Connection, alert_id: UUID, chunk: int) -> bool:
    """Correct the counters of one chunk by its attempts, in the caller's snapshot.

    False if it is the last or none. Recorders add what they change, in the transaction of the attempts; so the sum
    stays right, whatever they do meanwhile.
    """
    row = await connection.fetchrow(
        "SELECT last_id, (SELECT max(last_id) FROM chunks WHERE alert_id = $1 AND chunk = $2 - 1) AS low, "
        "EXISTS (SELECT FROM chunks WHERE alert_id = $1 AND chunk > $2) AS more "
        "FROM chunks WHERE alert_id = $1 AND chunk = $2",
        alert_id,
        chunk,
    )
    if row is None:
        return False
    low = _LOWEST if row["low"] is None else row["low"]
    attempted = await read_attempted(connection, alert_id, low, row["last_id"] if row["more"] else _HIGHEST)
    counted = {row[0]: row[1] for row in await connection.fetch(_COUNTED, alert_id, chunk)}
    wrong = {
        code: len(attempted.get(code, ())) - counted.get(code, 0)
        for code in CODE_OF_STATE.values()
        if code not in {QUEUED, SUPPRESSED}
    }
    wrong = {code: number for code, number in wrong.items() if number}
    if wrong:
        wrong[CHANGES] = 1
        await connection.execute(_ADD, alert_id, chunk, SHARD, list(wrong), list(wrong.values()))
    return bool(row["more"])


async def _list_chunk(connection: asyncpg.Connection, alert_id: UUID, chunk: int) -> None:
    async with connection.transaction(isolation="repeatable_read"):
        row = await connection.fetchrow(
            "SELECT recipients, suppressed FROM chunks WHERE alert_id = $1 AND chunk = $2", alert_id, chunk
        )
        if row is None:
            return
        members = row["recipients"]
        changes = await connection.fetchval(_CHANGES, alert_id, chunk)
        states = await read_members(connection, alert_id, members, read_reasons(row["suppressed"]))
        await connection.execute("DELETE FROM chunk_lists WHERE alert_id = $1 AND chunk = $2", alert_id, chunk)
        for code, recipients in states.items():
            if code != SUPPRESSED and recipients and len(recipients) * RARE <= len(members):
                await connection.execute(_LIST, alert_id, chunk, code, changes, recipients)
