"""Verification and rebuild find what was changed, by name."""

from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import rebuild_check, verify
from broadcast.audit.evidence.segments import Position, add_segments, read_positions
from broadcast.audit.evidence.verification import note_verification
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import STATUSES, Alerts, RecorderWithoutKafka


@pytest.fixture
async def recorded_alert(recorder: RecorderWithoutKafka, alerts: Alerts) -> UUID:
    """Six recipients in two chunks, four statuses in two segments, one receipt."""
    alert_id: UUID = await alerts.make([1, 2, 3, 4, 5, 6])
    for recipients in ((1, 2), (3, 4)):
        await recorder.write(
            [
                Status(str(alert_id), one, 1, Outcome.ACCEPTED, account="a", message_id=str(one), submitted_at=1, at=2)
                for one in recipients
            ]
        )
    await recorder.write(receipts=[Receipt("a", "3", ReceiptState.DELIVERED, received_at=9)])
    return alert_id


async def tamper(connection: asyncpg.Connection, statement: str) -> None:
    """What somebody with every right on the database could do."""
    await connection.execute("ALTER TABLE evidence DISABLE TRIGGER ALL")
    await connection.execute(statement)


async def test_what_nobody_touched_is_sound(recorded_alert: UUID, connection: asyncpg.Connection) -> None:
    told: list[tuple[int, int]] = []
    found = await verify(connection, recorded_alert, lambda done, of: told.append((done, of)))
    assert (found.faults, found.segments, found.records, found.chunks) == ([], 3, 5, 2)
    assert told[-1] == (5, 5)
    assert len(found.heads) == 2
    rebuilt = await rebuild_check(connection)
    assert (rebuilt.faults, rebuilt.attempts, rebuilt.receipts, rebuilt.parked) == ([], 4, 1, 0)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE evidence SET records = records || '\\x00' WHERE from_offset = 0", "statuses.v1/0 epoch 0 segment 0"),
        ("UPDATE evidence SET to_offset = to_offset + 1 WHERE from_offset = 0", "segment 0"),
        ("UPDATE evidence SET count = 7 WHERE from_offset = 0", "it was changed"),
        ("DELETE FROM evidence WHERE topic LIKE '%statuses%' AND from_offset = 0", "does not continue"),
        ("DELETE FROM evidence WHERE topic LIKE '%statuses%' AND from_offset > 0", "cut off"),
        ("UPDATE chunks SET recipients[1] = 9 WHERE chunk = 1", "chunk 1: its digest"),
        ('UPDATE chunks SET suppressed = \'{"2": "x"}\' WHERE chunk = 0', "chunk 0: its digest"),
        ("DELETE FROM chunks WHERE chunk = 0", "chunk 0 is missing"),
        ("DELETE FROM chunks WHERE chunk = 1", "has 1 chunk and says 2"),
        ("UPDATE alerts SET audience = 7", "its audience is 7"),
        ("UPDATE counters SET state = 3 WHERE state = 2", "counters say 0 delivered, those of its chunks 1"),
        (
            "UPDATE chunk_counters SET count = 9 WHERE state = 1 AND chunk = 0",
            "say 3 submitted, those of its chunks 10",
        ),
        ("DELETE FROM chunk_counters", "say 1 delivered, those of its chunks 0"),
    ],
)
async def test_verification_names_what_was_changed(
    recorded_alert: UUID, connection: asyncpg.Connection, statement: str, fault: str
) -> None:
    await tamper(connection, statement)
    found = await verify(connection)
    assert not found.sound
    assert fault in " | ".join(found.faults)


async def test_a_loss_is_said_for_good_and_is_no_change(
    recorder: RecorderWithoutKafka, recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    at = recorder.positions[STATUSES]
    recorder.positions[STATUSES] = replace(at, epoch=at.epoch + 1, offset=at.offset + 100, last=None)
    await recorder.write([Status(str(recorded_alert), 5, 1, Outcome.FAILED, reason="late", at=2)])
    for _ in range(2):
        found = await verify(connection)
        assert (found.sound, found.unchanged, found.faults) == (False, True, [])
        assert found.losses == [
            f"{STATUSES}/0 offsets {at.offset} to {at.offset + 99} were deleted by Kafka before they were recorded "
            "(epoch 1 begins after them)"
        ]
        await note_verification(connection, found)
        assert await connection.fetchval("SELECT count(*) FROM alarms") == 0, "it was one when it happened"
        await connection.execute("UPDATE alarms SET cleared_at = now()")
    assert await connection.fetchval("SELECT bool_and(sound) FROM verifications")
    assert (await rebuild_check(connection)).faults == []


async def test_an_epoch_that_begins_again_earlier_is_no_loss(
    recorder: RecorderWithoutKafka, recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    at = recorder.positions[STATUSES]
    recorder.positions[STATUSES] = replace(at, epoch=at.epoch + 1, offset=at.offset - 2, last=None)
    await recorder.write([Status(str(recorded_alert), 5, 1, Outcome.FAILED, reason="late", at=2)])
    found = await verify(connection)
    assert (found.sound, found.losses) == (True, [])


async def test_a_new_database_beside_an_old_log_says_where_it_begins(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1])
    recorder.positions[STATUSES] = Position(STATUSES, 0, epoch=1, offset=700)
    await recorder.write([Status(str(alert_id), 1, 1, Outcome.FAILED, reason="no route", at=2)])
    found = await verify(connection)
    assert found.sound
    assert found.beginnings == [f"{STATUSES}/0 begins at offset 700: what was before is not in this database"]


async def test_a_segment_without_records_is_verified_like_any_other(
    recorder: RecorderWithoutKafka, recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    at = recorder.positions[STATUSES]
    await recorder.ids.reserve(connection, 2)
    empty, at = at.extend(recorder.ids.take(), (), at.offset + 30)
    await add_segments(connection, [empty])
    recorder.positions[STATUSES] = at
    await recorder.write([Status(str(recorded_alert), 5, 1, Outcome.FAILED, reason="late", at=2)])
    position = (await read_positions(connection, [(STATUSES, 0)]))[STATUSES, 0]
    assert (position.offset, position.last and position.last.offset) == (at.offset + 2, at.offset)
    assert (await verify(connection)).sound
    assert (await rebuild_check(connection)).faults == []
    await tamper(connection, f"UPDATE evidence SET to_offset = to_offset + 1 WHERE id = {empty.id}")
    assert "it was changed" in " | ".join((await verify(connection)).faults)


async def test_the_last_record_is_compared_although_nothing_follows_it(
    recorder: RecorderWithoutKafka, recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    at = recorder.positions[STATUSES]
    await recorder.ids.reserve(connection, 1)
    await add_segments(connection, [at.extend(recorder.ids.take(), (), at.offset + 30)[0]])
    position = (await read_positions(connection, [(STATUSES, 0)]))[STATUSES, 0]
    assert (position.offset, position.last) == (at.offset + 30, at.last)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM attempts WHERE recipient_id = 2", "recipient 2 attempt 1 is not as recorded"),
        ("UPDATE attempts SET outcome = 2 WHERE recipient_id = 2", "recipient 2 attempt 1 was never recorded"),
        ("UPDATE attempts SET submitted_at = now() WHERE recipient_id = 1", "recipient 1"),
        ("INSERT INTO attempts SELECT * FROM attempts WHERE recipient_id = 4", "more or fewer"),
        ("UPDATE attempts SET receipt_state = 70 WHERE recipient_id = 3", "is better than the one in its attempt"),
        ("UPDATE attempts SET receipt_state = 80 WHERE recipient_id = 4", "the evidence proves 1"),
        (
            "UPDATE attempts SET receipt_state = NULL WHERE recipient_id = 3",
            "names it as evidence of a receipt, and has none",
        ),
        (
            "UPDATE attempts SET receipt_state = NULL, receipt_evidence = NULL WHERE recipient_id = 3",
            "neither joined nor parked",
        ),
        ("UPDATE counters SET state = 3 WHERE state = 2", "counters say 1 undelivered, its attempts 0"),
        ("UPDATE counters SET count = 4 WHERE state = 1", "counters say 4 submitted, its attempts 3"),
        ("DELETE FROM counters", "counters say 0 delivered, its attempts 1"),
        ("INSERT INTO counters SELECT alert_id, 7, 100, 1 FROM alerts", "say 1 possible duplicates, its attempts 0"),
        ("UPDATE chunk_counters SET state = 3 WHERE state = 2", "chunk 0: counters say 0 delivered, its attempts 1"),
        ("UPDATE chunk_counters SET chunk = 9 WHERE chunk = 1", "chunk 9: it has counters and is not stored"),
        ("DELETE FROM chunk_counters WHERE chunk = 0", "chunk 0: counters say 0 submitted, its attempts 2"),
        (
            "INSERT INTO chunk_lists SELECT alert_id, 0, 1, 3, '{2}' FROM alerts",
            "chunk 0: its list of submitted is wrong for 1 recipient",
        ),
        (
            "INSERT INTO attempts SELECT * FROM attempts WHERE recipient_id = 4",
            "recipient 4 has several attempts, of which one says only_attempt",
        ),
    ],
)
async def test_rebuilding_names_what_was_changed(
    recorded_alert: UUID, connection: asyncpg.Connection, statement: str, fault: str
) -> None:
    await connection.execute(statement)
    found = await rebuild_check(connection)
    assert not found.sound
    assert fault in " | ".join(found.faults)
