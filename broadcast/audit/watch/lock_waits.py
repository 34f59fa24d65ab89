"""Locks that stages wait for: an alarm names who holds one, and a session that hangs is ended."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import structlog

from broadcast.alarms import BY_RECORDER, LOCK_HELD, end_alarm, renew_alarm
from broadcast.clock import monotonic
from broadcast.database.lock_holders import Holder
from broadcast.database.server_settings import OURS

HELD_SECONDS: Final = 5.0
"""A transaction that a stage has waited for so long raises an alarm; usual are some milliseconds."""

HUNG_SECONDS: Final = 8.0
"""A session that a stage has waited for so long, and that only waits for its client, is ended.

PostgreSQL ends by itself what is idle in a transaction, if the session has such a limit, but not who freezes while it
writes or reads rows. Such a session is ended only if it is ours.
"""

FORGOTTEN_SECONDS: Final = 5.0
"""A wait that times out is not seen until it is tried again."""

log = structlog.get_logger(__name__)

_WAITS = """
SELECT h.pid, h.application_name AS name, h.xact_start, h.state, h.query_start,
    coalesce(h.wait_event_type = 'Client', false) AS client_waits, min(w.application_name) AS waiter
FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b(pid)
JOIN pg_stat_activity h ON h.pid = b.pid
WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND w.application_name LIKE $1 || ' %'
    AND w.application_name NOT LIKE $1 || ' command %' AND h.wait_event_type IS DISTINCT FROM 'Lock'
GROUP BY 1, 2, 3, 4, 5, 6
"""

_ENDED = """
SELECT subject FROM alarms a WHERE kind = $1 AND cleared_at IS NULL AND NOT EXISTS (
    SELECT FROM pg_stat_activity h WHERE h.pid = substring(a.subject FROM 'pid ([0-9]+)')::int
        AND coalesce(h.xact_start, a.raised_at) <= a.raised_at
)
"""

_END = "SELECT pg_terminate_backend($1)"


class Wait(NamedTuple):
    """One transaction that is waited for: its session and when it, and its statement, began."""

    pid: int
    since: datetime | None
    statement_since: datetime | None
    client_waits: bool


@dataclass(slots=True)
class LockWaits:
    """When each transaction that is waited for was first and last seen, on the monotonic clock."""

    seen: dict[Wait, tuple[float, float]] = field(default_factory=dict)

    def see(self, waits: set[Wait], now: float) -> dict[Wait, float]:
        """For how many seconds each of these has been waited for; others are forgotten after a while."""
        self.seen = {one: times for one, times in self.seen.items() if now - times[1] < FORGOTTEN_SECONDS}
        for one in waits:
            self.seen[one] = self.seen.get(one, (now, now))[0], now
        return {one: now - self.seen[one][0] for one in waits}


async def alarm_lock_waits(connection: asyncpg.Connection, known: LockWaits) -> None:
    """Raise an alarm for each transaction that a stage waits for, and end sessions of ours that hang."""
    rows = await connection.fetch(_WAITS, OURS)
    by_wait = {Wait(row["pid"], row["xact_start"], row["query_start"], row["client_waits"]): row for row in rows}
    for wait, seconds in known.see(set(by_wait), monotonic()).items():
        row = by_wait[wait]
        if seconds < HELD_SECONDS:
            continue
        holder = Holder(wait.pid, row["name"], wait.since, row["state"])
        await renew_alarm(
            connection,
            LOCK_HELD,
            f"{row['name'] or 'a session without a name'}, pid {wait.pid}",
            f"{holder} holds a lock that {row['waiter']} waits for. Look at that process. If it does not go on, end "
            f"its session: SELECT pg_terminate_backend({wait.pid}).",
        )
        idle = str(row["state"]).startswith("idle in transaction")
        if seconds >= HUNG_SECONDS and wait.client_waits and (idle or row["name"].startswith(f"{OURS} ")):
            with suppress(asyncpg.InsufficientPrivilegeError):  # of another role: the alarm says what to do
                await connection.execute(_END, wait.pid)
                log.warning("session_ended", pid=wait.pid, holder=str(holder))
    for row in await connection.fetch(_ENDED, LOCK_HELD):
        await end_alarm(connection, LOCK_HELD, row["subject"], BY_RECORDER)
