"""An old copy of Kafka's data is put back in mid broadcast: an alarm, a new epoch, and an audit that still verifies."""

import shutil
from uuid import UUID

import pytest

from broadcast.alarms import LOST_TAIL
from broadcast.clock import monotonic
from broadcast.stages import STAGES
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import draw_up, wait_final
from tests.fault.system import FAST, SLOW, SystemOptions, SystemUnderTest

AUDIENCE = 5_000
COPIED_AFTER = 800
RESTORED_AFTER = 2_500

SYSTEM = SystemOptions(name="old copy")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.timeout(300)  # Kafka starts three times, and beside other tests each start takes up to 20 s
async def test_old_copy_of_kafka_is_an_alarm_and_a_new_epoch(system: SystemUnderTest) -> None:
    """Once the stages are restarted nobody is lost. Who is reached twice is not marked: marks need what was lost."""
    began_at = monotonic()
    kafka = system.stack.kafka
    assert kafka is not None
    await system.begin(AUDIENCE)
    await system.pace(SLOW)
    alert = await system.publish(system.alert(AUDIENCE, Lane.PRIORITY))

    await recorded(system, alert, COPIED_AFTER)
    await kafka.stop()
    copy = kafka.directory / "old"
    shutil.copytree(kafka.log_directory, copy)
    await kafka.start()
    await recorded(system, alert, RESTORED_AFTER)
    await kafka.kill9()
    shutil.rmtree(kafka.log_directory)
    shutil.move(copy, kafka.log_directory)
    await kafka.start()

    await system.until("the recorder raises its alarm", lambda: has_alarm(system), budget_seconds=30)
    await system.pace(FAST)
    for stage in STAGES:  # they remember what Kafka has forgotten
        await system.stack.stage(stage).restart()
    await wait_final(system, [alert], budget_seconds=90)
    account = await draw_up(system, [alert], expected_alarms={LOST_TAIL})
    async with system.database() as connection:
        epochs = await connection.fetchval("SELECT max(epoch) FROM evidence")
        alarms = await connection.fetchval("SELECT count(*) FROM alarms WHERE kind = $1", LOST_TAIL)
    entry = report.Entry(
        test="old copy of Kafka's data",
        kills=1,
        hits=1,
        allowed=account.duplicates,
        seconds=monotonic() - began_at,
        note=f"{alarms} alarms, epoch {epochs}; {len(account.unmarked)} reached twice without a mark",
    )
    report.add(entry, account)
    assert epochs >= 1
    assert account.faults == []
    assert account.alarms == []
    assert account.lost == []
    assert account.final == account.audience == AUDIENCE


async def recorded(system: SystemUnderTest, alert: UUID, count: int) -> None:
    """Wait until the audit has so many attempts."""

    async def enough() -> bool:
        async with system.database() as connection:
            found: int = await connection.fetchval("SELECT count(*) FROM attempts WHERE alert_id = $1", alert)
        return found >= count

    await system.until(f"{count} attempts are recorded", enough, budget_seconds=60)


async def has_alarm(system: SystemUnderTest) -> bool:
    """True if the recorder has seen that Kafka lost its tail."""
    async with system.database() as connection:
        found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM alarms WHERE kind = $1)", LOST_TAIL)
    return found
