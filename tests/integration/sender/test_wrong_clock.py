"""A wrong clock of a host makes nobody expired, sends nothing that has expired, and is said."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from broadcast.alarms import CLOCK_WRONG
from broadcast.settings import Settings
from schemas.status import Outcome
from tests.support.sender_setup import RouteUnderTest, open_route, start_process
from tests.support.steps import ShiftedClock
from tests.support.waiting import eventually, remains

from ..control import add_recipients, alert_content, id_of

HOUR = 3600.0


@pytest.fixture
async def route(settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    async with open_route(settings, tmp_path, account="window = 20") as built:
        yield built


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(settings.database_url.get_secret_value())
    yield opened
    await opened.close()


async def alarms(connection: asyncpg.Connection, *, open_only: bool = True) -> list[str]:
    rows = await connection.fetch(
        "SELECT detail FROM alarms WHERE kind = $1 AND (cleared_at IS NULL OR NOT $2)", CLOCK_WRONG, open_only
    )
    return [row["detail"] for row in rows]


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_a_sender_whose_clock_jumps_writes_nothing_and_expires_nobody_until_it_is_right(
    route: RouteUnderTest, connection: asyncpg.Connection, tmp_path: Path, seconds: float
) -> None:
    clock = ShiftedClock(tmp_path / "shift")
    database = route.settings.database_url.get_secret_value()
    environment = route.environment(slot="a", database_url=database) | clock.environment
    sender = await start_process(tmp_path / "sender.log", environment, "-m", "streams", "sender")
    route.processes.append(sender)
    first = await route.publish()
    await route.put_jobs(first, range(1, 11))
    await route.wait_for(range(1, 11), first)
    clock.shift(seconds)
    valid, ended = await route.publish(seconds=HOUR / 2), await route.publish(seconds=-HOUR / 2)
    await route.put_jobs(valid, range(11, 21))
    await route.put_jobs(ended, range(21, 31))

    async def alarmed() -> bool:
        return bool(await alarms(connection)) and "clock" in (await sender.report())["holds"]

    await eventually(alarmed, "an alarm and a hold", within_seconds=30)
    [detail] = await alarms(connection)
    assert "this process has" in detail
    assert "the broker" in detail

    async def nothing_decided() -> bool:
        return {status.alert_id for status in await route.statuses()} == {first}

    await remains(nothing_decided, "nobody gets an outcome by a wrong clock", for_seconds=2)
    clock.shift(0.0)
    sent = await route.wait_for(range(11, 21), valid)
    assert {status.outcome for statuses in sent.values() for status in statuses} == {Outcome.ACCEPTED}
    unsent = await route.wait_for(range(21, 31), ended)
    assert {status.outcome for statuses in unsent.values() for status in statuses} == {Outcome.EXPIRED}

    async def over() -> bool:
        return not await alarms(connection) and not (await sender.report())["holds"]

    await eventually(over, "alarm and hold end", within_seconds=30)


async def test_a_sender_that_starts_with_a_wrong_clock_keeps_the_texts_of_alerts(
    route: RouteUnderTest, tmp_path: Path
) -> None:
    alert = await route.publish()
    await route.put_jobs(alert, range(1, 11))
    clock = ShiftedClock(tmp_path / "shift", 3 * 24 * HOUR)
    environment = route.environment(slot="a") | clock.environment
    sender = await start_process(tmp_path / "sender.log", environment, "-m", "streams", "sender")
    route.processes.append(sender)
    await eventually(lambda: "alarm_raised" in sender.text(), "an alarm", within_seconds=30)
    clock.shift(0.0)
    found = await route.wait_for(range(1, 11), alert)
    assert {status.outcome for statuses in found.values() for status in statuses} == {Outcome.ACCEPTED}


async def test_a_recorder_with_a_wrong_clock_calls_no_alert_expired(
    route: RouteUnderTest, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(
        """
        INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest, groups,
                            event_offset, actor, expires_at, accepted_at, expanded_at, audience, suppressed, chunks)
        VALUES (gen_random_uuid(), 'sending', 'routine', 's', 'i', now(), 'Test', 'Alert', '{}', '', '{}',
                0, 'a', now() + interval '1 hour', now(), now(), 1, 0, 1)
        """
    )
    clock = ShiftedClock(tmp_path / "shift", 3 * HOUR)
    database = route.settings.database_url.get_secret_value()
    environment = route.environment(slot="a", database_url=database) | clock.environment
    recorder = await start_process(tmp_path / "recorder.log", environment, "-m", "streams", "recorder")
    route.processes.append(recorder)

    async def swept() -> bool:
        if '"process_started"' not in recorder.text():
            return False
        return any(series.startswith("tocsin_sweep_last_success") for series in await recorder.metrics())

    await eventually(swept, "it sweeps", within_seconds=60)

    async def unchanged() -> bool:
        return bool(await connection.fetchval("SELECT state FROM alerts") == "sending")

    await remains(unchanged, "the alert is in force", for_seconds=2.5)


async def test_a_planner_with_a_wrong_clock_neither_plans_nor_refuses(
    route: RouteUnderTest, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await add_recipients(connection, "riverside", 3)
    clock = ShiftedClock(tmp_path / "shift", 2 * HOUR)
    database = route.settings.database_url.get_secret_value()
    environment = route.environment(slot="a", database_url=database) | clock.environment
    planner = await start_process(tmp_path / "planner.log", environment, "-m", "streams", "planner")
    route.processes.append(planner)
    content = alert_content(["riverside"], status="Test")
    await route.send([(route.names.alerts, 0, b"", json.dumps(content).encode())])

    async def alarmed() -> bool:
        return bool(await alarms(connection))

    await eventually(alarmed, "an alarm", within_seconds=30)

    async def undecided() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM alerts") == 0)

    await remains(undecided, "nothing is decided by a wrong clock", for_seconds=2)
    clock.shift(0.0)

    async def planned() -> bool:
        state = await connection.fetchval("SELECT state FROM alerts WHERE alert_id = $1", id_of(content))
        return bool(state == "expanding")

    await eventually(planned, "it is planned", within_seconds=30)
    planner.send(signal.SIGTERM)
    assert await planner.end(30) == 0
