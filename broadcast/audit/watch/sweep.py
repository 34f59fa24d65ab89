"""The sweep, each second, in one recorder: joins left-over receipts, finishes alerts, raises alarms. Never resends."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from broadcast import metrics
from broadcast.alarms import QUEUED_PAST_EXPIRY, QUEUED_WITHOUT_LAG, SUM_GAP, raise_alarm, show_alarms
from broadcast.audit.attempts.batch import TRANSIENT
from broadcast.audit.attempts.parked import join_and_commit_parked
from broadcast.audit.codes import CODE_OF_STATE, POSSIBLE_DUPLICATES
from broadcast.audit.evidence.verification import show_verification
from broadcast.audit.session import open_session
from broadcast.audit.watch.lag import work_left
from broadcast.clock import utc_now
from broadcast.database.pool import AWAY, wait_for_database
from broadcast.deadletters import OpenLetters
from broadcast.lifecycle import FINAL_STATES, AlertState, Transition, may_happen, next_state
from broadcast.settings import Settings
from schemas.status import DeliveryState

log = structlog.get_logger(__name__)

LOCK = 0xA0D17
SWEEP_SECONDS = 1.0
INTERRUPTED: tuple[type[BaseException], ...] = (*AWAY, *TRANSIENT, asyncpg.QueryCanceledError)
SLOW_SWEEPS = 60
"""Every so many sweeps, receipts that have been parked for long are tried again."""

LETTER_TOPICS = 100
"""Topics that dead letters are shown of: anybody who may write to Kafka may name others."""

LETTERS_SECONDS = 30.0
"""To read the dead letters that are new: far more than it takes, unless Kafka is away."""

EXPIRY_GRACE = timedelta(seconds=60)
"""Senders need a moment to write off what expired: 20,000 a second, and an alert has up to a million."""

QUIET = timedelta(seconds=30)
"""Nothing changed for an alert for this long: time to ask whether anybody still works on it."""

_OPEN = """
SELECT a.alert_id, a.state, a.audience, a.suppressed, a.expires_at, a.chunks, a.expanded_at,
    coalesce(sum(c.count) FILTER (WHERE c.state < $1), 0)::bigint AS counted,
    coalesce(sum(c.count) FILTER (WHERE c.state = $2), 0)::bigint AS expired
FROM alerts a LEFT JOIN counters c ON c.alert_id = a.alert_id
WHERE a.completed_at IS NULL AND a.state <> 'refused'
GROUP BY a.alert_id
"""


@dataclass(slots=True)
class QueuedSince:
    """Since when the number of queued recipients of an alert has not changed."""

    since: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def lasts(self, alert_id: str, queued: int, now: datetime) -> timedelta:
        """How long it has been this number; remembered until `forget`."""
        number, since = self.since.get(alert_id, (queued, now))
        if number != queued:
            since = now
        self.since[alert_id] = (queued, since)
        return now - since

    def keep(self, alert_ids: set[str]) -> None:
        """Forget every other alert."""
        self.since = {alert_id: known for alert_id, known in self.since.items() if alert_id in alert_ids}


async def sweep_forever(settings: Settings) -> None:
    """Sweep once a second until cancelled; the database is waited for, another recorder's sweep too."""
    sweeps = 0
    letters = OpenLetters(settings)
    while True:
        connection = await wait_for_database("sweep", lambda: open_session(settings))
        # While nobody swept nothing may have been recorded either: what stood still then says nothing.
        quiet = QueuedSince()
        try:
            while True:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                    sweeps += 1
                    slow = sweeps % SLOW_SWEEPS == 1
                    await sweep(connection, utc_now(), slow=slow)
                    if slow:
                        await show_letters(letters)
                    await find_stranded(connection, utc_now(), quiet, partial(work_left, settings, connection))
                await asyncio.sleep(SWEEP_SECONDS)
        except INTERRUPTED as error:
            log.warning("sweep_interrupted", error=repr(error))
            await asyncio.sleep(SWEEP_SECONDS)
        except Exception:
            # The sweep watches; a fault of its own must not end the recording beside it.
            log.exception("sweep_failed")
            await asyncio.sleep(SWEEP_SECONDS)
        finally:
            connection.terminate()


async def sweep(connection: asyncpg.Connection, now: datetime, *, slow: bool = False) -> None:
    """One sweep at the instant `now`."""
    await join_and_commit_parked(connection, old=slow)
    gaps: Counter[str] = Counter()
    expired = CODE_OF_STATE[DeliveryState.EXPIRED]
    for row in await connection.fetch(_OPEN, POSSIBLE_DUPLICATES, expired):
        gaps["open"] += await _sweep_alert(connection, row, now)
    metrics.reconciliation_gap.labels("open").set(gaps["open"])
    await show_alarms(connection)
    await show_verification(connection)
    if slow:
        metrics.receipts_parked.set(await connection.fetchval("SELECT count(*) FROM parked_receipts"))


async def show_letters(letters: OpenLetters) -> None:
    """Set the metric to the number of dead letters that wait for somebody; Kafka may be away."""
    try:
        async with asyncio.timeout(LETTERS_SECONDS):
            counts = await letters.count()
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("deadletters_unknown", error=repr(error))
        return
    metrics.deadletters_messages.clear()
    for topic, number in counts.most_common(LETTER_TOPICS):
        metrics.deadletters_messages.labels(topic).set(number)


async def find_stranded(
    connection: asyncpg.Connection, now: datetime, quiet: QueuedSince, count_work: Callable[[], Awaitable[int | None]]
) -> None:
    """Raise an alarm for alerts that are all expanded, have recipients queued, and no work is left for them.

    `count_work` counts what senders and recorders have still to do. Kafka is asked only after nothing has changed for
    `QUIET`, and at most that often.
    """
    queued = await _find_queued(connection)
    stranded = {alert_id for alert_id, number in queued.items() if quiet.lasts(alert_id, number, now) >= QUIET}
    quiet.since |= {alert_id: (queued[alert_id], now) for alert_id in stranded}
    quiet.keep(set(queued))
    if stranded and await count_work() == 0:
        # What was recorded while the work was counted is not stranded.
        after = await _find_queued(connection)
        for alert_id in sorted(stranded):
            if after.get(alert_id) != queued[alert_id]:
                continue
            await raise_alarm(
                connection,
                QUEUED_WITHOUT_LAG,
                alert_id,
                f"{queued[alert_id]} recipients are queued, and no sender has a job left. Find them with "
                f"`broadcast audit deliveries {alert_id} --state queued`, and look at the dead letters.",
            )


async def _find_queued(connection: asyncpg.Connection) -> dict[str, int]:
    """Alerts that are all expanded and have recipients queued, and how many."""
    rows = await connection.fetch(_OPEN, POSSIBLE_DUPLICATES, CODE_OF_STATE[DeliveryState.EXPIRED])
    expanded = [row for row in rows if row["audience"] is not None and row["state"] != AlertState.EXPANDING]
    queued = {str(row["alert_id"]): row["audience"] - row["suppressed"] - row["counted"] for row in expanded}
    return {alert_id: number for alert_id, number in queued.items() if number > 0}


async def _sweep_alert(connection: asyncpg.Connection, row: asyncpg.Record, now: datetime) -> int:
    """Finish one alert if nothing of it is queued; the size of the gap in its sum."""
    alert_id, state = str(row["alert_id"]), AlertState(row["state"])
    past = now > row["expires_at"] + EXPIRY_GRACE
    if row["audience"] is None:
        if past and may_happen(state, Transition.EXPIRED):
            await _move(connection, alert_id, state, Transition.EXPIRED, now)
        elif past and state in FINAL_STATES:
            # Withdrawn before it had an audience: nobody will be sent anything.
            await connection.execute(
                "UPDATE alerts SET completed_at = $2 WHERE alert_id = $1 AND completed_at IS NULL", row["alert_id"], now
            )
        return 0
    queued = row["audience"] - row["suppressed"] - row["counted"]
    if queued < 0:
        await raise_alarm(
            connection,
            SUM_GAP,
            alert_id,
            f"{-queued} more recipients have an outcome than the audience of {row['audience']} holds. "
            f"Run `broadcast audit summary {alert_id} --exact`.",
        )
        return int(-queued)
    if queued == 0 and row["expanded_at"] is not None:
        stored = await connection.fetchval(
            "SELECT coalesce(sum(count), 0)::bigint FROM chunks WHERE alert_id = $1", row["alert_id"]
        )
        if stored != row["audience"]:
            await raise_alarm(
                connection,
                SUM_GAP,
                alert_id,
                f"the stored chunks hold {stored} recipients and the alert says {row['audience']}. "
                f"Run `broadcast audit verify {alert_id}`.",
            )
            return int(abs(stored - row["audience"]))
        late = row["expired"] > 0 and now > row["expires_at"]
        await _move(connection, alert_id, state, Transition.EXPIRED if late else Transition.FINISHED, now)
    elif queued > 0 and past:
        await raise_alarm(
            connection,
            QUEUED_PAST_EXPIRY,
            alert_id,
            f"{queued} of {row['audience']} recipients are still queued after the alert expired at "
            f"{row['expires_at'].isoformat()}. Look for a sender that does not run, and for dead letters.",
        )
        if state is not AlertState.EXPIRED and may_happen(state, Transition.EXPIRED):
            await connection.execute(
                "UPDATE alerts SET state = $3 WHERE alert_id = $1::text::uuid AND state = $2",
                alert_id,
                state.value,
                next_state(state, Transition.EXPIRED).value,
            )
    return 0


async def _move(
    connection: asyncpg.Connection, alert_id: str, state: AlertState, transition: Transition, now: datetime
) -> None:
    if not may_happen(state, transition):
        transition = Transition.FINISHED
    if not may_happen(state, transition):
        return
    after = next_state(state, transition)
    moved = await connection.fetchval(
        "UPDATE alerts SET state = $3, completed_at = $4 "
        "WHERE alert_id = $1::text::uuid AND state = $2 AND completed_at IS NULL RETURNING true",
        alert_id,
        state.value,
        after.value,
        now,
    )
    if moved:
        log.info("alert_finished", alert_id=alert_id, state=after.value)
