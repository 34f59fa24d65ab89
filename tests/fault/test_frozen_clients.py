"""A client of PostgreSQL that freezes with its locks, and is no stage, stops nobody."""

import asyncio
import os
import signal
import sys

import asyncpg
import pytest

from broadcast.clock import monotonic
from broadcast.embedded.processes.child import Process
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.holding import ask, has_audience, is_completed, locked
from tests.fault.system import COMMON, FAST, SLOW, SystemUnderTest
from tests.support.waiting import eventually

SYSTEM = COMMON

SMALL = 100
BUDGET_SECONDS = 30.0
"""From the freeze until another alert is completed."""
AIM_SECONDS = 60.0
IMPORTED = 30_000
"""People of an import that takes some seconds, and is frozen in them."""
SETTLE_SECONDS = 0.03
"""What was on its way to a server when its client froze has arrived."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_client_that_freezes_with_the_row_of_an_alert_stops_nobody(system: SystemUnderTest) -> None:
    """As psql does: it has no name and sets no limit, and its alert is cancelled meanwhile."""
    began_at = monotonic()
    await system.begin(11 * SMALL)
    await system.pace(SLOW)
    first = await system.publish(system.alert(10 * SMALL))
    await eventually(lambda: has_audience(system, first), "the first alert is on its way", within_seconds=30)
    client = await asyncpg.connect(system.settings.database_url.get_secret_value())
    try:
        transaction = client.transaction()
        await transaction.start()
        await client.execute("SET idle_in_transaction_session_timeout = 0")
        await client.execute("SELECT FROM alerts WHERE alert_id = $1 FOR UPDATE", first)
        (await system.client.post(f"/v1/alerts/{first}/cancel", json={"reason": "over"})).raise_for_status()
        frozen_at = monotonic()
        other = await system.publish(system.alert(SMALL, Lane.IMMEDIATE))
        await eventually(lambda: is_completed(system, other), "another alert", within_seconds=BUDGET_SECONDS)
        done = monotonic() - frozen_at
        assert await ask(
            system,
            "SELECT EXISTS (SELECT FROM alarms WHERE kind = 'lock_held' AND subject LIKE '%pid ' || $1)",
            str(client.get_server_pid()),
        )
    finally:
        client.terminate()
    await system.pace(FAST)
    await wait_final(system, [first, other], budget_seconds=60)
    entry = report.Entry(
        test="frozen: client with the row of an alert",
        kills=1,
        hits=1,
        seconds=monotonic() - began_at,
        note=f"another alert completed after {done:.1f} s",
    )
    await report.conclude(system, [other], entry)  # the first one was cancelled


@pytest.mark.long
async def test_an_import_that_freezes_with_its_locks_stops_nobody(system: SystemUnderTest) -> None:
    began_at = monotonic()
    await system.begin(2 * SMALL)
    first, second = importing(system, "frozen", 0, IMPORTED), importing(system, "next", IMPORTED, 10)
    first.start()
    try:
        tables = await freeze_import(system, first)
        frozen_at = monotonic()
        second.start()
        other = await system.publish(system.alert(SMALL, Lane.IMMEDIATE))
        await eventually(lambda: is_completed(system, other), "another alert", within_seconds=BUDGET_SECONDS)
        done = monotonic() - frozen_at
        async with asyncio.timeout(BUDGET_SECONDS - done):
            code = await second.wait()
        assert code == 0, second.explain()
        imported = monotonic() - frozen_at
        first.kill(signal.SIGCONT)
        async with asyncio.timeout(BUDGET_SECONDS):
            assert await first.wait() not in {0, None}
    finally:
        await first.kill_all()
        await second.kill_all()
    said = first.log_file.read_text()
    assert "Traceback" not in said, said
    async with system.database() as connection:
        rows = await connection.fetch("SELECT external_id FROM recipients WHERE external_id LIKE 'I%'")
    assert len(rows) == 10, "an import that failed has left people"
    await wait_final(system, [other], budget_seconds=60)
    entry = report.Entry(
        test="frozen: import with its locks",
        kills=1,
        hits=1,
        seconds=monotonic() - began_at,
        note=f"another alert completed after {done:.1f} s, another import after {imported:.1f} s; held {tables}",
    )
    await report.conclude(system, [other], entry)


def importing(system: SystemUnderTest, name: str, begin: int, count: int) -> Process:
    """A command that imports so many new people, not started."""
    csv = system.stack.data_dir / f"import-{name}.csv"
    numbers = range(begin, begin + count)
    csv.write_text("external_id,phone,groups\n" + "".join(f"I{n:07d},+491501{n:07d},imported\n" for n in numbers))
    return Process(
        f"import-{name}",
        [sys.executable, "-m", "broadcast", "recipients", "import", csv],
        log_file=system.stack.data_dir / "logs" / f"import-{name}.log",
        environment={**os.environ, **system.stack.environment},
        directory=system.stack.data_dir,
    )


async def freeze_import(system: SystemUnderTest, process: Process) -> str:
    """Freeze an import while it holds the locks that keep other writers out; the tables that it has locked."""
    deadline = monotonic() + AIM_SECONDS
    while monotonic() < deadline:
        assert process.running, process.explain()
        process.kill(signal.SIGSTOP)
        await asyncio.sleep(SETTLE_SECONDS)
        held = await locked(system, "tocsin command%", "ShareRowExclusiveLock", "group_members", "groups", "recipients")
        if held:
            return held
        process.kill(signal.SIGCONT)
        await asyncio.sleep(SETTLE_SECONDS)
    raise AssertionError(f"the import never held its locks in {AIM_SECONDS} s")
