"""Alarms are raised once, cleared by a person, and raised again if they still hold; a failed verification is one."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from broadcast import metrics
from broadcast.alarms import (
    EVIDENCE_FAULT,
    LOST_TAIL,
    SUM_GAP,
    clear_alarms,
    is_log_intact,
    list_alarms,
    raise_alarm,
    show_alarms,
)
from broadcast.audit.errors import UnknownAlertError
from broadcast.audit.evidence.verification import note_verification, show_verification, verify
from broadcast.audit.watch.sweep import sweep
from broadcast.clock import utc_now
from broadcast.errors import InputError
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka


def shown(kind: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("tocsin_alarms", {"kind": kind})


async def test_an_alarm_is_raised_once_until_it_is_cleared(connection: asyncpg.Connection) -> None:
    assert await raise_alarm(connection, SUM_GAP, "a", "three too many")
    assert not await raise_alarm(connection, SUM_GAP, "a", "four too many")
    (alarm,) = await list_alarms(connection)
    assert (alarm.kind, alarm.subject, alarm.detail) == (SUM_GAP, "a", "three too many")
    await show_alarms(connection)
    assert shown(SUM_GAP) == 1
    await clear_alarms(connection, [alarm.id], "anna")
    await show_alarms(connection)
    assert shown(SUM_GAP) == 0
    assert await list_alarms(connection) == []
    assert await raise_alarm(connection, SUM_GAP, "a", "still four")
    cleared, again = await list_alarms(connection, cleared=True)
    assert (cleared.cleared_by, again.cleared_at, again.detail) == ("anna", None, "still four")


async def test_clearing_one_that_is_not_open_clears_none(connection: asyncpg.Connection) -> None:
    await raise_alarm(connection, SUM_GAP, "a", "one")
    (alarm,) = await list_alarms(connection)
    with pytest.raises(InputError, match=f"alarm {alarm.id + 1}: not open, nothing was cleared"):
        await clear_alarms(connection, [alarm.id, alarm.id + 1], "anna")
    assert await list_alarms(connection) == [alarm]


async def test_an_alarm_that_still_holds_comes_back(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id: UUID = await alerts.make([1])
    await recorder.write([Status(str(alert_id), one, 1, Outcome.REFUSED, at=1) for one in (1, 2)])
    await sweep(connection, utc_now())
    (alarm,) = await list_alarms(connection)
    await clear_alarms(connection, [alarm.id], "anna")
    await sweep(connection, utc_now())
    assert [again.subject for again in await list_alarms(connection)] == [str(alert_id)]


async def test_a_lost_tail_is_never_forgotten(connection: asyncpg.Connection) -> None:
    await raise_alarm(connection, LOST_TAIL, "statuses/0", "lost")
    await clear_alarms(connection, [alarm.id for alarm in await list_alarms(connection)], "anna")
    assert not await is_log_intact(connection)


async def test_an_alert_that_is_not_there_is_not_sound(connection: asyncpg.Connection) -> None:
    with pytest.raises(UnknownAlertError, match="is not known"):
        await verify(connection, uuid4())


async def test_verifications_are_remembered_and_a_fault_is_an_alarm(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id: UUID = await alerts.make([1])
    await recorder.write([Status(str(alert_id), 1, 1, Outcome.REFUSED, at=1)])
    before = utc_now().timestamp()
    await note_verification(connection, await verify(connection))
    await show_verification(connection)
    sound_at = metrics.REGISTRY.get_sample_value("tocsin_audit_chain_verified_timestamp_seconds")
    assert sound_at is not None
    assert abs(sound_at - before) < 5
    assert await list_alarms(connection) == []
    await connection.execute("ALTER TABLE evidence DISABLE TRIGGER ALL")
    await connection.execute("UPDATE evidence SET count = 7")
    for _ in range(2):
        await note_verification(connection, await verify(connection))
    await show_verification(connection)
    assert metrics.REGISTRY.get_sample_value("tocsin_audit_chain_verified_timestamp_seconds") == sound_at
    (alarm,) = await list_alarms(connection)
    assert alarm.kind == EVIDENCE_FAULT
    assert alarm.subject == "broadcast.statuses.v1/0 epoch 0 segment 0 (id 1)"
