"""Processes that are silent: an alarm that names each, until it writes again, stops cleanly or is restarted."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from broadcast.alarms import BY_RECORDER, PROCESS_SILENT, end_alarm, open_subjects, renew_alarm
from broadcast.clock import monotonic
from broadcast.database.process_rows import SILENT_SECONDS

CONFIRM_SECONDS: Final = 3.0
"""A process must stay silent for so long while we look: after an outage all return, but not at the same instant."""

# Whoever clears the alarm says that the process is gone for good.
_FORGET = """
DELETE FROM processes p WHERE seen_at < clock_timestamp() - make_interval(secs => $2) AND EXISTS (
    SELECT FROM alarms a WHERE a.kind = $1 AND a.subject = p.stage || ' ' || p.slot
        AND a.cleared_at > p.seen_at AND a.cleared_by <> $3
)
"""

_SILENT = """
SELECT stage || ' ' || slot AS subject, host, pid, seen_at FROM processes
WHERE seen_at < clock_timestamp() - make_interval(secs => $1)
"""


@dataclass(slots=True)
class Silence:
    """Since when this sweeper has seen each process silent, by subject and last write, on the monotonic clock."""

    since: dict[tuple[str, datetime], float] = field(default_factory=dict)

    def confirmed(self, seen: set[tuple[str, datetime]], now: float) -> set[tuple[str, datetime]]:
        """Those that have been silent in all looks of the last `CONFIRM_SECONDS`."""
        self.since = {one: self.since.get(one, now) for one in seen}
        return {one for one, since in self.since.items() if now - since >= CONFIRM_SECONDS}


async def alarm_silent_processes(connection: asyncpg.Connection, silence: Silence) -> None:
    """Raise an alarm for each process that is silent, and end those whose process is not."""
    await connection.execute(_FORGET, PROCESS_SILENT, SILENT_SECONDS, BY_RECORDER)
    rows = {(row["subject"], row["seen_at"]): row for row in await connection.fetch(_SILENT, SILENT_SECONDS)}
    opened = await open_subjects(connection, PROCESS_SILENT)
    for subject, seen_at in silence.confirmed(set(rows), monotonic()):
        row = rows[subject, seen_at]
        await renew_alarm(
            connection,
            PROCESS_SILENT,
            subject,
            f"{subject} on {row['host']} (pid {row['pid']}) has said nothing since "
            f"{seen_at.isoformat('T', 'seconds')}: it is frozen, dead or cut off from PostgreSQL. Look at it, and "
            "restart it. Clear this alarm if it is gone for good.",
        )
    for subject in opened - {subject for subject, _ in rows}:
        await end_alarm(connection, PROCESS_SILENT, subject, BY_RECORDER)
