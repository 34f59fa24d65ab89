"""The simulator, PostgreSQL or Apache Kafka goes away and comes back: nothing lost, and work resumes by itself."""

import asyncio
from uuid import UUID

import httpx
import pytest

from broadcast.alarms import BIND_DOWN
from broadcast.clock import monotonic
from schemas.alert import write_alert
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.system import COMMON, FAST, IN_DOUBT_LIMIT, SLOW, WINDOW, SystemUnderTest

AUDIENCE = 4_000
SMALL = 200
GONE_SECONDS = 10.0
AWAY_SECONDS = 3.0
RESUME_SECONDS = 20.0
"""The deadline, counted from the moment that the broker answers again."""

SYSTEM = COMMON

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begin(system: SystemUnderTest, lane: Lane = Lane.PRIORITY) -> UUID:
    """A broadcast that has begun, and has several seconds to go; recipients for two small alerts more are left."""
    await system.begin(AUDIENCE + 2 * SMALL)
    await system.pace(SLOW)
    before = await system.submits()
    alert = await system.publish(system.alert(AUDIENCE, lane))

    async def begun() -> bool:
        return await system.submits() > before + 300

    await system.until("the broadcast begins", begun, budget_seconds=20)
    return alert


async def test_simulator_gone_for_ten_seconds(system: SystemUnderTest) -> None:
    """Its connections are cut and refused; what was on the wire then is sent again, with a mark."""
    began_at = monotonic()
    alert = await begin(system)
    await system.relay.cut()
    at_cut = await system.submits()
    await asyncio.sleep(GONE_SECONDS)
    assert await system.submits() == at_cut
    await system.relay.restore()

    async def resumed() -> bool:
        return await system.submits() > at_cut

    resumed_in = await system.until("submits after the simulator is back", resumed, budget_seconds=RESUME_SECONDS)
    await system.pace(FAST)
    await wait_final(system, [alert], budget_seconds=60)
    entry = report.Entry(
        test="simulator gone 10 s",
        allowed=WINDOW,
        seconds=monotonic() - began_at,
        note=f"resumed in {resumed_in:.1f} s",
    )
    await report.conclude(system, [alert], entry, expected_alarms={BIND_DOWN})

    async def alarm_ended() -> bool:
        async with system.database() as connection:
            rows = await connection.fetch(
                "SELECT cleared_at FROM alarms WHERE kind = $1 AND id > $2", BIND_DOWN, system.last_alarm_before
            )
        return bool(rows) and all(row["cleared_at"] for row in rows)

    await system.until("an alarm was raised, and ended by the bind", alarm_ended, budget_seconds=20)


async def test_postgres_killed_and_restarted(system: SystemUnderTest) -> None:
    """Publishing and sending go on meanwhile; afterwards the audit has everything."""
    began_at = monotonic()
    assert system.stack.postgres is not None
    alerts = [await begin(system)]
    await system.stack.postgres.kill9()
    at_kill = await system.submits()
    for lane in (Lane.IMMEDIATE, Lane.ROUTINE):
        headers = {"Content-Type": "application/json"}
        alert = system.alert(SMALL, lane)
        answer = await system.client.post("/v1/alerts", content=write_alert(alert), headers=headers)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        alerts.append(UUID(answer.json()["alert_id"]))
    await asyncio.sleep(AWAY_SECONDS)
    while_away = await system.submits() - at_kill
    await system.stack.postgres.start()
    back_at = monotonic()

    await system.until("both new alerts have an audience", lambda: has_audience(system, alerts), budget_seconds=20)
    resumed_in = monotonic() - back_at
    await system.pace(FAST)
    await wait_final(system, alerts, budget_seconds=60)
    entry = report.Entry(
        test="PostgreSQL killed",
        kills=1,
        hits=1,
        seconds=monotonic() - began_at,
        note=f"{while_away} submits and {len(alerts) - 1} publications meanwhile, resumed in {resumed_in:.1f} s",
    )
    await report.conclude(system, alerts, entry, marks_at_most=0)
    assert while_away > 0, "the sender stood still without PostgreSQL"


async def test_kafka_killed_and_restarted(system: SystemUnderTest) -> None:
    """Every stage is back at work within 20 s of the broker's return, on its data."""
    began_at = monotonic()
    assert system.stack.kafka is not None
    restarts = system.stack.stage("sender").restarts
    alerts = [await begin(system)]
    await system.stack.kafka.kill9()
    await asyncio.sleep(AWAY_SECONDS)
    waiting = system.alert(SMALL, Lane.IMMEDIATE)
    publication = asyncio.create_task(system.publish(waiting))
    await system.stack.kafka.start()
    back_at = monotonic()
    at_return, recorded = await system.submits(), await segments(system)

    async def resumed() -> bool:
        return await system.submits() > at_return and await segments(system) > recorded

    sending_in = await system.until("submits and evidence", resumed, budget_seconds=RESUME_SECONDS)
    alerts.append(await publication)
    await system.until(
        "an alert published now is planned and expanded",
        lambda: has_audience(system, alerts),
        budget_seconds=RESUME_SECONDS - (monotonic() - back_at),
    )
    all_in = monotonic() - back_at
    await system.pace(FAST)
    await wait_final(system, alerts, budget_seconds=60)
    ends = system.stack.stage("sender").restarts - restarts
    entry = report.Entry(
        test="Apache Kafka killed",
        kills=1,
        hits=1,
        allowed=IN_DOUBT_LIMIT * ends,
        seconds=monotonic() - began_at,
        note=f"sending again in {sending_in:.1f} s, everything in {all_in:.1f} s, the sender ended {ends} times",
    )
    await report.conclude(system, alerts, entry)


async def has_audience(system: SystemUnderTest, alerts: list[UUID]) -> bool:
    """True if each of the alerts has one."""
    async with system.database() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM alerts WHERE alert_id = ANY ($1) AND audience > 0", alerts
        )
    return count == len(alerts)


async def segments(system: SystemUnderTest) -> int:
    """How many evidence segments there are."""
    async with system.database() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM evidence")
    return count
