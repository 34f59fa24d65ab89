"""The sweep, each second, in one recorder: joins left-over receipts, finishes alerts, raises alarms. Never resends."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import asyncpg
import structlog

from broadcast import metrics
from broadcast.alarms import show_alarms
from broadcast.audience.number_changes import delete_unneeded_changes
from broadcast.audit.attempts.parked import (
    BEGIN,
    Place,
    give_up_parked,
    join_and_commit_old,
    join_and_commit_parked,
)
from broadcast.audit.chunk_states.upkeep import Upkeep
from broadcast.audit.evidence.verification import show_verification
from broadcast.audit.session import open_session
from broadcast.audit.undelivered import OtherRoutes
from broadcast.audit.watch.backlog import QueuedSince, alarm_queued_without_work
from broadcast.audit.watch.finishing import finish_alerts
from broadcast.audit.watch.held_topics import LOOK_SECONDS as TOPICS_LOOK_SECONDS
from broadcast.audit.watch.held_topics import HeldTopics, alarm_held_topics
from broadcast.audit.watch.lag import work_left
from broadcast.audit.watch.lock_waits import LockWaits, alarm_lock_waits
from broadcast.audit.watch.outcome_alarms import LOOK_SECONDS, OutcomeWatch, forget_old
from broadcast.audit.watch.servers_away import KAFKA, alarm_kafka_away
from broadcast.audit.watch.silent_processes import Silence, alarm_silent_processes
from broadcast.audit.watch.step_locks import forget_locks, naming_locks
from broadcast.audit.watch.unmatched_receipts import alarm_unmatched, show_unmatched
from broadcast.clock import monotonic
from broadcast.database.leases import LeaseRow
from broadcast.database.pool import AWAY, wait_for_database
from broadcast.deadletters.open_letters import OpenLetters
from broadcast.health import Health
from broadcast.retry import Backoff
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

LEASE: Final = "sweep"

SWEEP_SECONDS: Final = 1.0

SLOW_SECONDS: Final = 60.0
"""Between two runs of a step that is not needed each second."""

STEP_SECONDS: Final = 5.0
"""For one step. It is cancelled after that, and the others go on; usual are some milliseconds."""

SLOW_STEP_SECONDS: Final = 8.0
"""For a step that reads much, or asks Kafka."""

LEASE_MORE_SECONDS: Final = 2.0
"""The lease lasts for the budget of the next step and so much more; then another recorder sweeps."""


LETTER_TOPICS: Final = 100
"""Topics that dead letters are shown of: anybody who may write to Kafka may name others."""


@dataclass
class Sweep:
    """What the steps of one sweeper work with, from one connection to the next; `others` as `OtherRoutes` has it.

    `now` is PostgreSQL's clock at the beginning of a sweep: that of this host may be wrong, and what expires is final.
    """

    settings: Settings
    connection: asyncpg.Connection
    others: OtherRoutes
    letters: OpenLetters
    outcomes: OutcomeWatch
    health: Health
    # While nobody swept nothing may have been recorded either: what did not change then says nothing.
    queued_since: QueuedSince = field(default_factory=QueuedSince)
    upkeep: Upkeep = field(default_factory=Upkeep)
    silence: Silence = field(default_factory=Silence)
    lock_waits: LockWaits = field(default_factory=LockWaits)
    held_topics: HeldTopics = field(default_factory=HeldTopics)
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    place: Place | None = BEGIN
    ran_at: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    async def join_old(self) -> None:
        """Look at the next of the receipts that have been parked for long; each at most once a minute."""
        _, self.place = await join_and_commit_old(self.connection, self.others, self.place or BEGIN)

    def due(self, step: "Step") -> bool:
        """Whether it is time for a step; never for one that asks Kafka while Kafka does not answer this process."""
        if step.asks_kafka and self.health.away_seconds(KAFKA):
            return False  # each would wait out its budget, and what says that Kafka is away would come too late
        if step.name == OLD and self.place is not None:
            return True
        return monotonic() - self.ran_at.get(step.name, float("-inf")) >= step.every_seconds


class Step(NamedTuple):
    """One step of the sweep: it stands by itself, and an error in it ends only this run of it."""

    name: str
    work: Callable[[Sweep], Awaitable[object]]
    every_seconds: float = 0.0
    budget_seconds: float = STEP_SECONDS
    asks_kafka: bool = False


OLD: Final = "old receipts"

STEPS: Final = (
    Step("receipts", lambda sweep: join_and_commit_parked(sweep.connection, sweep.others)),
    Step("alerts", lambda sweep: finish_alerts(sweep.connection, sweep.now)),
    Step("locks", lambda sweep: alarm_lock_waits(sweep.connection, sweep.lock_waits)),
    Step("processes", lambda sweep: alarm_silent_processes(sweep.connection, sweep.silence)),
    Step(
        "servers",
        lambda sweep: alarm_kafka_away(sweep.connection, sweep.now, sweep.health, sweep.settings.kafka_bootstrap),
    ),
    Step("alarms", lambda sweep: show_alarms(sweep.connection)),
    Step("outcomes", lambda sweep: sweep.outcomes.look(sweep.connection, sweep.now), LOOK_SECONDS),
    Step("outcome counts", lambda sweep: forget_old(sweep.connection, sweep.now), SLOW_SECONDS),
    Step(OLD, Sweep.join_old, SLOW_SECONDS),
    Step("number changes", lambda sweep: delete_unneeded_changes(sweep.connection), SLOW_SECONDS),
    Step("given up", lambda sweep: give_up_parked(sweep.connection)),
    Step("chunks", lambda sweep: sweep.upkeep.work(sweep.connection)),
    Step("verification", lambda sweep: show_verification(sweep.connection)),
    Step("unmatched", lambda sweep: show_unmatched(sweep.connection, sweep.now), SLOW_SECONDS, SLOW_STEP_SECONDS),
    Step("id rules", lambda sweep: alarm_unmatched(sweep.connection, sweep.now), SLOW_SECONDS, SLOW_STEP_SECONDS),
    Step("dead letters", lambda sweep: show_letters(sweep.letters), SLOW_SECONDS, SLOW_STEP_SECONDS, asks_kafka=True),
    Step(
        "held topics",
        lambda sweep: alarm_held_topics(sweep.connection, sweep.now, sweep.held_topics, sweep.settings),
        TOPICS_LOOK_SECONDS,
        SLOW_STEP_SECONDS,
        asks_kafka=True,
    ),
    Step(
        "queued",
        lambda sweep: alarm_queued_without_work(
            sweep.connection, sweep.now, sweep.queued_since, partial(work_left, sweep.settings, sweep.connection)
        ),
        budget_seconds=SLOW_STEP_SECONDS,
        asks_kafka=True,
    ),
)
"""In the order of a sweep; what people wait for comes first."""


async def sweep_forever(settings: Settings, others: OtherRoutes, outcomes: OutcomeWatch, health: Health) -> None:
    """Sweep once a second until cancelled; the database is waited for, another recorder's sweep too.

    `health` knows since when Kafka has not answered this process.
    """
    letters = OpenLetters(settings)
    lease = LeaseRow(LEASE, "recorder", settings)
    pause = Backoff(first_seconds=SWEEP_SECONDS)
    while True:
        connection = await wait_for_database("sweep", lambda: open_session(settings))
        try:
            await _sweep_on(Sweep(settings, connection, others, letters, outcomes, health), lease, pause)
        except AWAY as error:
            log.warning("sweep_interrupted", error=repr(error))
            await pause.sleep()
        except Exception:
            # The sweep watches; a fault of its own must not end the recording beside it.
            log.exception("sweep_failed")
            await pause.sleep()
        except asyncio.CancelledError:
            await lease.release(connection)
            raise
        finally:
            # Another recorder may sweep now: what this one knew last must not be shown beside it.
            metrics.remove_shared()
            forget_locks(health)
            connection.terminate()


async def _sweep_on(sweep: Sweep, lease: LeaseRow, pause: Backoff) -> None:
    before = False
    while True:
        taken = held = await lease.take(sweep.connection, STEP_SECONDS + LEASE_MORE_SECONDS)
        if taken and not before:
            log.info("lease_taken", name=lease.name)
        sweep.now = await sweep.connection.fetchval("SELECT clock_timestamp()")
        for step in STEPS:
            if held and sweep.due(step):
                held = await lease.take(sweep.connection, step.budget_seconds + LEASE_MORE_SECONDS)
                if held:
                    await run_step(sweep, step)
        if (taken or before) and not held:
            log.warning("lease_lost", name=lease.name)
            metrics.remove_shared()
            forget_locks(sweep.health)
            sweep = Sweep(sweep.settings, sweep.connection, sweep.others, sweep.letters, sweep.outcomes, sweep.health)
        before = held
        pause.reset()
        await asyncio.sleep(SWEEP_SECONDS)


async def run_step(sweep: Sweep, step: Step) -> None:
    """Run one step within its budget. Raises only what says that the connection is of no use any more."""
    try:
        async with asyncio.timeout(step.budget_seconds), naming_locks(sweep.settings, sweep.health, step.name):
            await step.work(sweep)
    except Exception as error:
        if sweep.connection.is_closed():
            raise
        metrics.sweep_steps_failed.labels(step.name).inc()
        if sweep.errors.get(step.name) != repr(error):  # a fault that stays would fill the log, each second
            sweep.errors[step.name] = repr(error)
            log.warning("sweep_step_failed", step=step.name, error=repr(error))
    else:
        sweep.errors.pop(step.name, None)
        metrics.sweep_last_success.labels(step.name).set_to_current_time()
    sweep.ran_at[step.name] = monotonic()


async def sweep(
    connection: asyncpg.Connection, now: datetime, others: OtherRoutes | None = None, *, full: bool = False
) -> None:
    """The steps of one sweep at the instant `now`, without Kafka; with `full` those of once a minute too."""
    settings = Settings()
    letters, outcomes = OpenLetters(settings), OutcomeWatch(settings, ())
    work = Sweep(settings, connection, others or {}, letters, outcomes, Health("recorder"), now=now)
    for step in STEPS:
        if not step.asks_kafka and (full or not step.every_seconds):
            await step.work(work)


async def show_letters(letters: OpenLetters) -> None:
    """Set the metric to the number of dead letters that wait for somebody; raises what says that Kafka is away."""
    counts = await letters.count()
    metrics.deadletters_messages.clear()
    for topic, number in counts.most_common(LETTER_TOPICS):
        metrics.deadletters_messages.labels(topic).set(number)
