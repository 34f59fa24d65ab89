"""Alerts that are not completed, and those whose queued recipients nobody works on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from broadcast.alarms import BY_RECORDER, QUEUED_WITHOUT_LAG, end_alarm, open_subjects, raise_alarm
from broadcast.audit.codes import CODE_OF_STATE, POSSIBLE_DUPLICATES, REACHED_COUNT
from broadcast.lifecycle import AlertState
from broadcast.text.counts import counted
from schemas.status import DeliveryState

UNCHANGED = timedelta(seconds=30)
"""Nothing changed for an alert for this long: time to ask whether anybody still works on it."""

OPEN_ALERTS = f"""
SELECT a.alert_id::text, a.state, a.audience, a.suppressed, a.expires_at, a.expanded_at,
    coalesce(sum(c.count) FILTER (WHERE c.state < $1), 0)::bigint AS counted,
    coalesce(sum(c.count) FILTER (WHERE c.state = $2), 0)::bigint AS expired,
    {REACHED_COUNT} AS reached,
    coalesce(sum(c.count) FILTER (WHERE c.state = $3), 0)::bigint AS unknown
FROM alerts a LEFT JOIN counters c ON c.alert_id = a.alert_id
WHERE a.completed_at IS NULL AND a.state <> 'refused'
GROUP BY a.alert_id
"""


class OpenAlert(NamedTuple):
    """An alert that is not completed.

    `counted` recipients have a state, `expired`,
    `reached` (delivered, by phones) and `unknown` of them these.

    `audience` and `suppressed` are None until the audience is resolved.
    """

    alert_id: str
    state: AlertState
    audience: int | None
    suppressed: int | None
    expires_at: datetime
    expanded_at: datetime | None
    counted: int
    expired: int
    reached: int
    unknown: int

    @property
    def queued(self) -> int:
        """Recipients without a state; below 0 if more have one than the audience holds."""
        return (self.audience or 0) - (self.suppressed or 0) - self.counted


async def read_open_alerts(connection: asyncpg.Connection) -> list[OpenAlert]:
    """Every alert that is not completed, with its counters."""
    states = DeliveryState.EXPIRED, DeliveryState.UNKNOWN
    rows = await connection.fetch(OPEN_ALERTS, POSSIBLE_DUPLICATES, *(CODE_OF_STATE[state] for state in states))
    return [OpenAlert(row[0], AlertState(row[1]), *row[2:]) for row in rows]


@dataclass(slots=True)
class QueuedSince:
    """Since when the number of queued recipients of each alert has not changed."""

    since: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    idle: dict[str, int] = field(default_factory=dict)
    """Alerts for which no work was found at the last look, and how many were queued then."""

    def unchanged_for(self, alert_id: str, queued: int, now: datetime) -> timedelta:
        """How long it has been this number; 0 if it changed, or is asked for the first time."""
        number, since = self.since.get(alert_id, (queued, now))
        if number != queued:
            since = now
        self.since[alert_id] = (queued, since)
        return now - since

    def restart(self, alert_id: str, queued: int, now: datetime) -> None:
        """Count the time of this alert from `now` on."""
        self.since[alert_id] = (queued, now)

    def keep(self, alert_ids: set[str]) -> None:
        """Forget every other alert."""
        self.since = {alert_id: known for alert_id, known in self.since.items() if alert_id in alert_ids}
        self.idle = {alert_id: known for alert_id, known in self.idle.items() if alert_id in alert_ids}

    def take_idle(self, alert_ids: set[str]) -> dict[str, int]:
        """Those of the alerts for which the last look found no work, with the number queued then; forgets them."""
        return {alert_id: self.idle.pop(alert_id) for alert_id in alert_ids if alert_id in self.idle}


async def alarm_queued_without_work(
    connection: asyncpg.Connection,
    now: datetime,
    queued_since: QueuedSince,
    count_work: Callable[[], Awaitable[int | None]],
) -> None:
    """Raise an alarm for every expanded alert with recipients queued and no work left for them.

    `count_work` counts what senders and recorders have still to do. Kafka is asked only after nothing has changed for
    `UNCHANGED`, and at most that often. Two looks in a row must agree: after a server or a stage was away, work that is
    in somebody's hands is not seen at once. The alarm ends when nobody of the alert is queued.
    """
    queued = await _read_queued(connection)
    unchanged = {
        alert_id
        for alert_id, number in queued.items()
        if queued_since.unchanged_for(alert_id, number, now) >= UNCHANGED
    }
    for alert_id in unchanged:
        queued_since.restart(alert_id, queued[alert_id], now)
    queued_since.keep(set(queued))
    for subject in await open_subjects(connection, QUEUED_WITHOUT_LAG) - queued.keys():
        await end_alarm(connection, QUEUED_WITHOUT_LAG, subject, BY_RECORDER)
    if not unchanged:
        return
    # Forgotten before the question, which may fail or be cancelled: then two looks have to agree anew.
    idle_before = queued_since.take_idle(unchanged)
    if await count_work() != 0:
        return
    queued_since.idle |= {alert_id: queued[alert_id] for alert_id in unchanged}
    # What was recorded while the work was counted was not without work.
    after = await _read_queued(connection)
    for alert_id in sorted(unchanged):
        if idle_before.get(alert_id) == queued[alert_id] == after.get(alert_id):
            await raise_alarm(
                connection,
                QUEUED_WITHOUT_LAG,
                alert_id,
                f"{counted(queued[alert_id], 'recipient', 'is', 'are')} queued, and no sender has a job left. "
                f"Find them with `broadcast audit deliveries {alert_id} --state queued`, and look at the dead letters.",
            )


async def _read_queued(connection: asyncpg.Connection) -> dict[str, int]:
    """Alerts that are all expanded and have recipients queued, and how many."""
    return {
        alert.alert_id: alert.queued
        for alert in await read_open_alerts(connection)
        if alert.audience is not None and alert.state is not AlertState.EXPANDING and alert.queued > 0
    }
