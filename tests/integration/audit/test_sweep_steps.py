"""Each step of the sweep stands by itself, costs little whatever has piled up, and says when it last ran."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic, time

import asyncpg
import pytest

from broadcast import metrics
from broadcast.audit.attempts.parked import BEGIN, join_and_commit_old, join_and_commit_parked
from broadcast.audit.receipts.unmatched import find_unmatched
from broadcast.audit.watch import sweep as sweep_module
from broadcast.audit.watch.outcome_alarms import OutcomeWatch
from broadcast.audit.watch.sweep import Step, Sweep, sweep, sweep_forever
from broadcast.health import Health
from broadcast.settings import Settings
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka
from tests.support.waiting import eventually

PARKED = 400_000
SLICE_SECONDS = 0.2
"""For what takes some milliseconds; a walk through all that is parked takes 0.4 to 0.9 s."""

_PARK = """
INSERT INTO parked_receipts (message_key, number_hash, evidence_id, received_at, state, parked_at, account)
SELECT n, n, 1, 0, 2, now() - $2::text::interval, 1 FROM generate_series(1, $1) n
"""


@asynccontextmanager
async def sweeping(settings: Settings, health: Health | None = None) -> AsyncIterator[None]:
    outcomes = OutcomeWatch(settings, ())
    task = asyncio.create_task(sweep_forever(settings, {}, outcomes, health or Health("recorder")))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def last_success(step: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("tocsin_sweep_last_success_timestamp_seconds", {"step": step})


async def test_a_step_that_fails_stops_no_other_and_is_the_one_whose_age_grows(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, database_url: str
) -> None:
    metrics.sweep_last_success.clear()
    alert_id = await alerts.make([1])
    await recorder.write([Status(str(alert_id), 1, 1, Outcome.REFUSED, at=1)])
    # The steps before and behind those of alerts.
    await connection.execute("ALTER TABLE parked_receipts RENAME TO parked_elsewhere")
    began_at = time()

    async def completed() -> bool:
        state = await connection.fetchval("SELECT state FROM alerts WHERE alert_id = $1", alert_id)
        return state == "completed" and (last_success("verification") or 0) >= began_at

    async with sweeping(Settings(database_url=database_url)):
        await eventually(completed, "the alert is completed", within_seconds=20)
        assert (last_success("alerts") or 0) >= began_at
        assert last_success("receipts") is None


async def test_whoever_locks_the_table_of_alarms_is_named_by_the_readiness(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcast.audit.watch.step_locks.LOOK_AFTER_SECONDS", 0.2)
    health = Health("recorder")
    health.release("start")
    holder = await asyncpg.connect(database_url, server_settings={"application_name": "report at night"})
    try:
        await holder.execute("BEGIN; LOCK TABLE alarms IN ACCESS EXCLUSIVE MODE")
        async with sweeping(Settings(database_url=database_url), health):
            await eventually(lambda: health.holds, "the lock is on /readyz")
            assert not health.ready()
            assert f"report at night (pid {holder.get_server_pid()}" in next(iter(health.holds.values()))
            await holder.execute("ROLLBACK")
            await eventually(health.ready, "it is ready when the lock is gone")
    finally:
        await holder.close()


async def test_a_sweep_is_as_fast_with_many_parked_receipts(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO accounts (name) VALUES ('sim')")
    await connection.execute(_PARK, PARKED, "2 hours")
    await connection.execute("VACUUM ANALYZE parked_receipts")
    for name, work in (
        ("recent", lambda: join_and_commit_parked(connection)),
        ("old", lambda: join_and_commit_old(connection, {}, BEGIN)),
        ("each second", lambda: sweep(connection, datetime.now(UTC))),
    ):
        began_at = monotonic()
        await work()
        seconds = monotonic() - began_at
        print(f"{name}: {seconds * 1000:.1f} ms with {PARKED:,} parked")
        assert seconds < SLICE_SECONDS, name


async def test_what_is_parked_for_long_is_looked_at_slice_by_slice(connection: asyncpg.Connection) -> None:
    await connection.execute(_PARK, 12_000, "2 hours")
    place, slices = BEGIN, 0
    while place is not None:
        _, place = await join_and_commit_old(connection, {}, place)  # type: ignore[assignment]
        slices += 1
    assert slices == 3


async def test_receipts_that_no_attempt_may_claim_move_away_and_stay_listed(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    await recorder.write(receipts=[Receipt("sim", f"m{one}", ReceiptState.DELIVERED, one) for one in range(1, 4)])
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '8 days' WHERE number_hash < 3")
    before = [tuple(row) for row in await connection.fetch("SELECT * FROM unmatched_receipts ORDER BY number_hash")]
    await sweep(connection, datetime.now(UTC))
    assert await connection.fetchval("SELECT count(*) FROM parked_receipts") == 1
    assert await connection.fetchval("SELECT count(*) FROM given_up_receipts WHERE nameless") == 2
    after = [tuple(row) for row in await connection.fetch("SELECT * FROM unmatched_receipts ORDER BY number_hash")]
    assert after == before
    [found] = await find_unmatched(connection, datetime.now(UTC))
    assert (found.account, found.count, found.given_up) == ("sim", 0, 2)


@pytest.mark.parametrize("released", [True, False])
async def test_a_second_recorder_sweeps_when_the_first_does_not_any_more(
    alerts: Alerts, connection: asyncpg.Connection, database_url: str, released: bool
) -> None:
    """At once after a stop; after the end of the lease where the first one froze with its session open."""
    if released:
        async with sweeping(Settings(database_url=database_url, slot="1")):
            await eventually(lambda: _is_held(connection), "the lease is taken", within_seconds=10)
        assert not await _is_held(connection)
    else:
        await connection.execute(
            "INSERT INTO leases VALUES ('sweep', 'tocsin recorder 1', now(), clock_timestamp() + interval '1 s')"
        )
    began_at = time()

    async def swept() -> bool:
        return (last_success("alerts") or 0) >= began_at

    async with sweeping(Settings(database_url=database_url, slot="2")):
        await eventually(swept, "the second one sweeps", within_seconds=20)


async def _is_held(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM leases WHERE name = 'sweep')"))


async def test_who_loses_the_lease_between_two_steps_runs_no_further_one_and_forgets_what_it_saw(
    connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Sweep] = []
    behind: list[Sweep] = []

    async def look(sweep: Sweep) -> None:
        looked.append(sweep)
        if len(looked) == 2:
            await connection.execute(
                "UPDATE leases SET holder = 'tocsin recorder 2', ends_at = clock_timestamp() + interval '0.2 s'"
            )

    async def note(sweep: Sweep) -> None:
        behind.append(sweep)

    monkeypatch.setattr(sweep_module, "STEPS", (Step("look", look), Step("behind", note)))
    monkeypatch.setattr(sweep_module, "SWEEP_SECONDS", 0.02)
    async with sweeping(Settings(database_url=database_url)):
        await eventually(lambda: len(behind) >= 3, "it sweeps again", within_seconds=10)
    first, lost, again = looked[:3]
    assert first is lost is behind[0]
    assert behind[1] is again is not first
    assert (again.silence is first.silence, again.queued_since is first.queued_since) == (False, False)


async def test_gauges_of_what_all_share_go_with_the_lease(connection: asyncpg.Connection, database_url: str) -> None:
    def shown() -> float | None:
        return metrics.REGISTRY.get_sample_value("tocsin_alarms", {"kind": "sum_gap"})

    await connection.execute("INSERT INTO alarms (kind, subject, detail) VALUES ('sum_gap', 'a', 'b')")
    async with sweeping(Settings(database_url=database_url)):
        await eventually(lambda: shown() == 1)
        await connection.execute(
            "UPDATE leases SET holder = 'tocsin recorder 2', ends_at = clock_timestamp() + interval '60 s'"
        )
        await eventually(lambda: shown() is None)


async def test_steps_that_ask_kafka_wait_while_it_does_not_answer(
    connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    async def ask(_: Sweep) -> None:
        ran.append("ask")

    async def look(_: Sweep) -> None:
        ran.append("look")

    monkeypatch.setattr(sweep_module, "STEPS", (Step("ask", ask, asks_kafka=True), Step("look", look)))
    monkeypatch.setattr(sweep_module, "SWEEP_SECONDS", 0.02)
    health = Health("recorder")
    health.missing("kafka")
    async with sweeping(Settings(database_url=database_url), health):
        await eventually(lambda: len(ran) >= 3, within_seconds=10)
        assert set(ran) == {"look"}
        health.found("kafka")
        await eventually(lambda: "ask" in ran, within_seconds=10)
