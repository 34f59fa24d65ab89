"""A record that PostgreSQL refuses becomes a dead letter; everything else of its batch is recorded."""

import msgspec

from broadcast.audit import rebuild_check
from broadcast.database import connect
from broadcast.kafka.clients import make_consumer
from schemas.deadletter import DeadLetter
from schemas.status import Outcome, Status
from tests.support.recorder_under_test import RecorderUnderTest

REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'recipient % does not fit', NEW.recipient_id
        USING ERRCODE = (ARRAY['22003', '54000', '23514', '23502'])[1 + NEW.recipient_id % 4];
END $$;
CREATE TRIGGER refuse_statuses BEFORE INSERT ON attempts FOR EACH ROW
    WHEN (NEW.recipient_id IN (7, 14)) EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse_receipts BEFORE UPDATE ON attempts FOR EACH ROW
    WHEN (NEW.recipient_id IN (8, 9)) EXECUTE FUNCTION refuse()
"""
"""Has PostgreSQL refuse statuses of 7 and 14, and receipts of 8 and 9, with four SQLSTATEs: numeric_value_out_of_range,
program_limit_exceeded, check_violation and not_null_violation."""

TAKING = "DROP TRIGGER refuse_statuses ON attempts; DROP TRIGGER refuse_receipts ON attempts; DROP FUNCTION refuse()"


async def read_letters(under_test: RecorderUnderTest) -> list[DeadLetter]:
    """Every dead letter that there is."""
    consumer = make_consumer(under_test.settings, under_test.names.deadletters, auto_offset_reset="earliest")
    await consumer.start()
    letters: list[DeadLetter] = []
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                letters += [msgspec.json.decode(record.value, type=DeadLetter) for record in records]
    finally:
        await consumer.stop()
    return letters


async def has_letters(under_test: RecorderUnderTest, count: int) -> bool:
    return len(await read_letters(under_test)) >= count


async def test_what_postgresql_refuses_becomes_a_dead_letter_and_all_else_is_recorded(
    under_test: RecorderUnderTest,
) -> None:
    await under_test.make_alert(30)
    connection = await connect(under_test.settings)
    await connection.execute(REFUSING)
    names = under_test.names
    await under_test.send(names.statuses, under_test.statuses(range(1, 21)))
    await under_test.send(names.statuses, under_test.statuses(range(21, 31)), partition=1)
    async with under_test.recorder() as task:
        await under_test.wait_for(submitted=28, queued=2)
        await under_test.send(names.receipts, under_test.receipts([*range(8, 13), 21, 22]))
        await under_test.wait_for(delivered=5, submitted=23, queued=2)
        await under_test.send(names.statuses, under_test.statuses([7]), partition=1)
        await under_test.until(lambda: has_letters(under_test, 5))
        assert not task.done()
    letters = await read_letters(under_test)
    found = sorted((letter.topic, letter.partition, letter.offset) for letter in letters)
    assert found == [
        (names.receipts, 0, 0),
        (names.receipts, 0, 1),
        (names.statuses, 0, 6),
        (names.statuses, 0, 13),
        (names.statuses, 1, 11),
    ]
    assert all("does not fit" in letter.error and letter.stage == "recorder" for letter in letters)
    await under_test.sound()
    rebuilt = await rebuild_check(connection)
    assert (rebuilt.refused, rebuilt.attempts, rebuilt.receipts) == (5, 28, 5)
    # When PostgreSQL takes them, their dead letters can be replayed: nothing of them is left behind.
    await connection.execute(TAKING)
    await connection.close()
    async with under_test.recorder():
        await under_test.send(names.statuses, under_test.statuses([7, 14]))
        await under_test.send(names.receipts, under_test.receipts([8, 9]))
        await under_test.wait_for(delivered=7, submitted=23)
    assert len(await read_letters(under_test)) == 5
    await under_test.sound()


async def test_a_receipt_for_a_submit_of_a_far_year_is_recorded(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(2)
    at = 250_000_000_000_000  # the year 9892
    far = [
        msgspec.json.encode(
            Status(str(under_test.alert_id), 1, 1, Outcome.ACCEPTED, 1, 1, "sim", "m1", 1, submitted_at=at, at=at)
        )
    ]
    async with under_test.recorder():
        await under_test.send(under_test.names.statuses, [*far, *under_test.statuses([2])])
        await under_test.wait_for(submitted=2)
        await under_test.send(under_test.names.receipts, under_test.receipts([1, 2]))
        await under_test.wait_for(delivered=2)
    assert await read_letters(under_test) == []
    await under_test.sound()
