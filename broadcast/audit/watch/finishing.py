"""Finishing alerts of which nobody is queued any more; gaps in their sums, and those that expired, are alarms."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from broadcast import metrics
from broadcast.alarms import ALERT_NOT_SENT, QUEUED_PAST_EXPIRY, SUM_GAP, raise_alarm
from broadcast.audit.deliveries.unrecorded import count_unrecorded
from broadcast.audit.watch.backlog import OpenAlert, read_open_alerts
from broadcast.lifecycle import FINAL_STATES, AlertState, Transition, may_happen, next_state
from broadcast.text.counts import MAYBE_SENT, counted

log = structlog.get_logger(__name__)

WITHDRAWN: Final = frozenset({AlertState.CANCELLED, AlertState.SUPERSEDED})
"""Somebody has ended these on purpose."""

EXPIRY_GRACE: Final = timedelta(seconds=60)
"""Senders need a moment to write off what expired: 20,000 a second, and an alert has up to a million."""

_FREE: Final = "alert_id = (SELECT alert_id FROM alerts WHERE alert_id = $1::text::uuid FOR UPDATE SKIP LOCKED)"
"""An alert whose row somebody holds is left for the next sweep: it must not hold up the others."""


async def finish_alerts(connection: asyncpg.Connection, now: datetime) -> None:
    """Finish each open alert of which nobody is queued, and set the metric of the gap in their sums."""
    gap = 0
    for alert in await read_open_alerts(connection):
        gap += await _sweep_alert(connection, alert, now)
    metrics.reconciliation_gap.labels("open").set(gap)


async def _sweep_alert(connection: asyncpg.Connection, alert: OpenAlert, now: datetime) -> int:
    """Finish one alert if nothing of it is queued; the size of the gap in its sum."""
    past = now > alert.expires_at + EXPIRY_GRACE
    if alert.audience is None:
        if past:
            await _finish_without_audience(connection, alert, now)
        return 0
    if alert.queued < 0:
        await raise_alarm(
            connection,
            SUM_GAP,
            alert.alert_id,
            f"{-alert.queued} more recipients have an outcome than the audience of {alert.audience} holds. "
            f"Run `broadcast audit summary {alert.alert_id} --exact`.",
        )
        return -alert.queued
    if alert.queued == 0 and alert.expanded_at is not None:
        stored: int = await connection.fetchval(
            "SELECT coalesce(sum(count), 0)::bigint FROM chunks WHERE alert_id = $1::text::uuid", alert.alert_id
        )
        if stored != alert.audience:
            await raise_alarm(
                connection,
                SUM_GAP,
                alert.alert_id,
                f"the stored chunks hold {counted(stored, 'recipient')} and the alert says {alert.audience}. "
                f"Run `broadcast audit verify {alert.alert_id}`.",
            )
            return abs(stored - alert.audience)
        unrecorded = 0
        if alert.unknown > 0 and alert.state not in WITHDRAWN:
            unrecorded = await count_unrecorded(connection, UUID(alert.alert_id))
        if (alert.expired > 0 or unrecorded > 0) and alert.state not in WITHDRAWN:
            await raise_alarm(connection, ALERT_NOT_SENT, alert.alert_id, _not_sent(alert, unrecorded))
        late = (alert.expired > 0 or unrecorded > 0) and now > alert.expires_at
        await _finish(connection, alert, Transition.EXPIRED if late else Transition.FINISHED, now)
    elif alert.queued > 0 and past:
        await _expire_with_queued(connection, alert)
    return 0


def _not_sent(alert: OpenAlert, unrecorded: int) -> str:
    """Who was not sent an alert, or is not known to have been, and what to do."""
    audience = counted(alert.audience or 0, "recipient")
    told = []
    if alert.expired:
        told.append(
            f"{alert.expired:,} of {audience} were not sent this alert before it expired. "
            f"`broadcast audit deliveries {alert.alert_id} --state expired` shows who."
        )
    if unrecorded:
        told.append(
            f"Of {unrecorded:,} of {audience} nothing is known to be sent: they {MAYBE_SENT}. "
            f"`broadcast audit deliveries {alert.alert_id} --state unknown` shows who."
        )
    told.append(
        "If the danger is still there, warn them in another way, or publish it again for them, with an identifier of "
        "its own."
    )
    return " ".join(told)


async def _finish_without_audience(connection: asyncpg.Connection, alert: OpenAlert, now: datetime) -> None:
    if may_happen(alert.state, Transition.EXPIRED):
        await raise_alarm(
            connection,
            ALERT_NOT_SENT,
            alert.alert_id,
            f"nobody was sent this alert: it expired at {alert.expires_at.isoformat()}, before its audience was found. "
            "Look whether planner and expander run. If the danger is still there, publish it again, with an identifier "
            "of its own.",
        )
        await _finish(connection, alert, Transition.EXPIRED, now)
    elif alert.state in FINAL_STATES:
        # Withdrawn before it had an audience: nobody will be sent anything.
        await connection.execute(
            f"UPDATE alerts SET completed_at = $2 WHERE {_FREE} AND completed_at IS NULL",
            alert.alert_id,
            now,
        )


async def _expire_with_queued(connection: asyncpg.Connection, alert: OpenAlert) -> None:
    await raise_alarm(
        connection,
        QUEUED_PAST_EXPIRY,
        alert.alert_id,
        f"{alert.queued:,} of {counted(alert.audience or 0, 'recipient')} still queued after the alert expired at "
        f"{alert.expires_at.isoformat()}. Look for a sender that does not run, for a route that was taken out of the "
        "routes file, whose jobs no sender reads, and for dead letters.",
    )
    if alert.state is not AlertState.EXPIRED and may_happen(alert.state, Transition.EXPIRED):
        await connection.execute(
            f"UPDATE alerts SET state = $3 WHERE {_FREE} AND state = $2",
            alert.alert_id,
            alert.state.value,
            next_state(alert.state, Transition.EXPIRED).value,
        )


async def _finish(connection: asyncpg.Connection, alert: OpenAlert, transition: Transition, now: datetime) -> None:
    if not may_happen(alert.state, transition):
        transition = Transition.FINISHED
    if not may_happen(alert.state, transition):
        return
    after = next_state(alert.state, transition)
    finished = await connection.fetchval(
        f"UPDATE alerts SET state = $3, completed_at = $4 WHERE {_FREE} AND state = $2 AND completed_at IS NULL "
        "RETURNING true",
        alert.alert_id,
        alert.state.value,
        after.value,
        now,
    )
    if finished:
        log.info(
            "alert_finished",
            alert_id=alert.alert_id,
            state=after.value,
            recipients=alert.audience,
            reached=alert.reached,
        )
