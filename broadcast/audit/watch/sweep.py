"""The sweep, each second, in one recorder: joins left-over receipts, finishes alerts, raises alarms. Never resends."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from broadcast import metrics
from broadcast.alarms import ALERT_NOT_SENT, QUEUED_PAST_EXPIRY, SUM_GAP, raise_alarm, show_alarms
from broadcast.audit.attempts.parked import join_and_commit_parked
from broadcast.audit.evidence.verification import show_verification
from broadcast.audit.session import open_session
from broadcast.audit.undelivered import OtherRoutes
from broadcast.audit.watch.backlog import OpenAlert, QueuedSince, alarm_queued_without_work, read_open_alerts
from broadcast.audit.watch.lag import work_left
from broadcast.audit.watch.outcome_alarms import LOOK_EVERY, OutcomeWatch, forget_old
from broadcast.audit.watch.unmatched_receipts import alarm_unmatched, show_unmatched
from broadcast.clock import utc_now
from broadcast.database.pool import AWAY, TRANSIENT, wait_for_database
from broadcast.deadletters.open_letters import OpenLetters
from broadcast.lifecycle import FINAL_STATES, AlertState, Transition, may_happen, next_state
from broadcast.retry import Backoff
from broadcast.settings import Settings
from broadcast.text.counts import counted

log = structlog.get_logger(__name__)

LOCK = 0xA0D17
"""Advisory lock of the one recorder that sweeps."""

SWEEP_SECONDS = 1.0
INTERRUPTED: tuple[type[BaseException], ...] = (*AWAY, *TRANSIENT, asyncpg.QueryCanceledError)
FULL_SWEEPS = 60
"""Every so many sweeps one is full: it also tries receipts again that have been parked for long."""

LETTER_TOPICS = 100
"""Topics that dead letters are shown of: anybody who may write to Kafka may name others."""

LETTERS_SECONDS = 30.0
"""To read the dead letters that are new: far more than it takes, unless Kafka is away."""

WITHDRAWN = frozenset({AlertState.CANCELLED, AlertState.SUPERSEDED})
"""Somebody has ended these on purpose."""

EXPIRY_GRACE = timedelta(seconds=60)
"""Senders need a moment to write off what expired: 20,000 a second, and an alert has up to a million."""


async def sweep_forever(settings: Settings, others: OtherRoutes, outcomes: OutcomeWatch) -> None:
    """Sweep once a second until cancelled; the database is waited for, another recorder's sweep too."""
    sweeps = 0
    letters = OpenLetters(settings)
    pause = Backoff(first_seconds=SWEEP_SECONDS)
    while True:
        connection = await wait_for_database("sweep", lambda: open_session(settings))
        # While nobody swept nothing may have been recorded either: what did not change then says nothing.
        queued_since = QueuedSince()
        try:
            while True:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                    sweeps += 1
                    full = sweeps % FULL_SWEEPS == 1
                    await sweep(connection, utc_now(), others, full=full)
                    if sweeps % LOOK_EVERY == 1:
                        await outcomes.look(connection, utc_now())
                    if full:
                        await forget_old(connection, utc_now())
                        await show_letters(letters)
                    work = partial(work_left, settings, connection)
                    await alarm_queued_without_work(connection, utc_now(), queued_since, work)
                    pause.reset()
                await asyncio.sleep(SWEEP_SECONDS)
        except INTERRUPTED as error:
            log.warning("sweep_interrupted", error=repr(error))
            await pause.sleep()
        except Exception:
            # The sweep watches; a fault of its own must not end the recording beside it.
            log.exception("sweep_failed")
            await pause.sleep()
        finally:
            connection.terminate()


async def sweep(
    connection: asyncpg.Connection, now: datetime, others: OtherRoutes | None = None, *, full: bool = False
) -> None:
    """One sweep at the instant `now`; `others` are the routes of what is undelivered."""
    await join_and_commit_parked(connection, others, old=full)
    gap = 0
    for alert in await read_open_alerts(connection):
        gap += await _sweep_alert(connection, alert, now)
    metrics.reconciliation_gap.labels("open").set(gap)
    await show_alarms(connection)
    await show_verification(connection)
    if full:
        await show_unmatched(connection, now)
        await alarm_unmatched(connection, now)


async def show_letters(letters: OpenLetters) -> None:
    """Set the metric to the number of dead letters that wait for somebody; Kafka may be away."""
    try:
        async with asyncio.timeout(LETTERS_SECONDS):
            counts = await letters.count()
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("dead_letters_not_counted", error=repr(error))
        return
    metrics.deadletters_messages.clear()
    for topic, number in counts.most_common(LETTER_TOPICS):
        metrics.deadletters_messages.labels(topic).set(number)


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
        if alert.expired > 0 and alert.state not in WITHDRAWN:
            await raise_alarm(
                connection,
                ALERT_NOT_SENT,
                alert.alert_id,
                f"{alert.expired:,} of {counted(alert.audience, 'recipient')} were not sent this alert before it "
                f"expired. `broadcast audit deliveries {alert.alert_id} --state expired` shows who. If the danger is "
                "still there, publish it again for them, with an identifier of its own.",
            )
        late = alert.expired > 0 and now > alert.expires_at
        await _finish(connection, alert, Transition.EXPIRED if late else Transition.FINISHED, now)
    elif alert.queued > 0 and past:
        await _expire_with_queued(connection, alert)
    return 0


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
            "UPDATE alerts SET completed_at = $2 WHERE alert_id = $1::text::uuid AND completed_at IS NULL",
            alert.alert_id,
            now,
        )


async def _expire_with_queued(connection: asyncpg.Connection, alert: OpenAlert) -> None:
    await raise_alarm(
        connection,
        QUEUED_PAST_EXPIRY,
        alert.alert_id,
        f"{alert.queued:,} of {counted(alert.audience or 0, 'recipient')} still queued after the alert expired at "
        f"{alert.expires_at.isoformat()}. Look for a sender that does not run, and for dead letters.",
    )
    if alert.state is not AlertState.EXPIRED and may_happen(alert.state, Transition.EXPIRED):
        await connection.execute(
            "UPDATE alerts SET state = $3 WHERE alert_id = $1::text::uuid AND state = $2",
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
        "UPDATE alerts SET state = $3, completed_at = $4 "
        "WHERE alert_id = $1::text::uuid AND state = $2 AND completed_at IS NULL RETURNING true",
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
