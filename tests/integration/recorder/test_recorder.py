"""The recorder on a real broker and database: each record once, whatever ends, stops or goes away."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from broadcast.audit.attempts.recording import Recording
from broadcast.audit.watch.lag import statuses_left
from broadcast.database import connect
from broadcast.errors import FencedError
from broadcast.kafka.clients import make_admin, make_consumer
from schemas.deadletter import DeadLetter
from tests.conftest import Brokers
from tests.support.recorder_under_test import BUDGET_SECONDS, RecorderUnderTest
from tests.support.waiting import eventually


async def test_statuses_and_receipts_reach_the_audit(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(100)
    await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 51)))
    async with under_test.recorder():
        await under_test.wait_for(submitted=50, queued=50)
        await under_test.send(under_test.names.statuses, under_test.statuses(range(51, 101)), partition=1)
        await under_test.send(under_test.names.receipts, under_test.receipts(range(1, 100)))
        await under_test.wait_for(delivered=99, submitted=1)

        async def completed() -> bool:
            return bool(await under_test.query("SELECT state FROM alerts") == "completed")

        await under_test.until(completed)
    await under_test.sound()


async def test_an_idle_recorder_shows_a_receipt_at_once(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(20)
    await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 21)))
    taken = []
    async with under_test.recorder():
        await under_test.wait_for(submitted=20)
        for recipient in range(1, 11):
            await under_test.send(under_test.names.receipts, under_test.receipts([recipient]))
            sent = time.monotonic()
            await under_test.wait_for(delivered=recipient, submitted=20 - recipient)
            taken.append(time.monotonic() - sent)
    assert sorted(taken)[5] < 0.5, taken


async def test_aborted_statuses_are_never_seen_and_leave_no_gap(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(30)
    async with under_test.recorder():
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 11)))
        await under_test.wait_for(submitted=10, queued=20)
        await under_test.send(under_test.names.statuses, under_test.statuses(range(11, 21)), commit=False)
        await under_test.send(under_test.names.statuses, under_test.statuses(range(21, 31)))
        await under_test.wait_for(submitted=20, queued=10)
    await under_test.sound()


def count_calls(monkeypatch: pytest.MonkeyPatch, of: type, name: str) -> list[None]:
    """A list that gets longer at each call of a method."""
    calls: list[None] = []
    called = getattr(of, name)

    def count(*given: Any) -> Any:
        calls.append(None)
        return called(*given)

    monkeypatch.setattr(of, name, count)
    return calls


async def reached(calls: list[None], number: int) -> bool:
    return len(calls) >= number


async def end_of_log(under_test: RecorderUnderTest, tp: TopicPartition) -> int:
    consumer = make_consumer(under_test.settings)
    await consumer.start()
    try:
        return int((await consumer.end_offsets([tp]))[tp])
    finally:
        await consumer.stop()


async def delete_until(under_test: RecorderUnderTest, tp: TopicPartition, offset: int) -> None:
    """What retention does after a quiet week."""
    admin = make_admin(under_test.settings)
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


@pytest.mark.parametrize("stopped", [False, True], ids=["while it is idle", "at a stop"])
async def test_what_was_aborted_after_the_last_record_is_not_lost_when_kafka_deletes_it(
    under_test: RecorderUnderTest, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    tp = TopicPartition(under_test.names.statuses, 0)
    await under_test.make_alert(30)

    async def covered() -> bool:
        ends = await under_test.query("SELECT max(to_offset) FROM evidence WHERE topic = $1", tp.topic)
        return bool(ends == await end_of_log(under_test, tp))

    if not stopped:
        monkeypatch.setattr("streams.recorder.QUIET_SECONDS", 0.2)
    async with under_test.recorder():
        await under_test.send(tp.topic, under_test.statuses(range(1, 11)))
        await under_test.wait_for(submitted=10, queued=20)
        await under_test.send(tp.topic, under_test.statuses(range(11, 21)), commit=False)
        if not stopped:
            await under_test.until(covered)
            connection = await connect(under_test.settings)
            assert await statuses_left(under_test.settings, connection) == 0
            await connection.close()
        else:
            # It has passed what was aborted when it has read a record of another partition that came after it.
            await under_test.send(tp.topic, under_test.statuses(range(11, 21)), partition=1)
            await under_test.wait_for(submitted=20, queued=10)
    assert await covered()
    await delete_until(under_test, tp, await end_of_log(under_test, tp))
    async with under_test.recorder():
        await under_test.send(tp.topic, under_test.statuses(range(21, 31)))
        await under_test.wait_for(submitted=30 if stopped else 20, **({} if stopped else {"queued": 10}))
    assert await under_test.query("SELECT count(*) FROM alarms WHERE kind LIKE 'kafka%'") == 0
    assert await under_test.query("SELECT max(epoch) FROM evidence") == 0
    await under_test.sound()


async def test_an_idle_recorder_adds_no_segment_that_covers_nothing(
    under_test: RecorderUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.recorder.QUIET_SECONDS", 0.05)
    looks = count_calls(monkeypatch, Recording, "add_quiet")
    await under_test.make_alert(10)
    async with under_test.recorder():
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 11)))
        await under_test.wait_for(submitted=10)
        began = len(looks)
        await under_test.until(lambda: reached(looks, began + 40))
    assert await under_test.query("SELECT count(*) FROM evidence WHERE count = 0") <= 1
    await under_test.sound()


async def test_a_recorder_that_ends_anyhow_goes_on_where_its_evidence_ends(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(400)
    for number in range(4):
        await under_test.send(
            under_test.names.statuses,
            under_test.statuses(range(number * 100 + 1, number * 100 + 101)),
            partition=number,
        )
        async with under_test.recorder() as task:
            if number % 2:
                await under_test.wait_for(submitted=number * 100 + 100, **({"queued": 200} if number == 1 else {}))
            else:
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.wait([task])
    async with under_test.recorder():
        await under_test.wait_for(submitted=400)
    await under_test.sound()


async def test_poison_becomes_a_dead_letter_and_the_stream_goes_on(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(3)
    good = under_test.statuses([1, 2])
    poison = [b"{", None, b'{"alert_id":"x","recipient_id":1,"attempt":1,"outcome":"accepted"}', b"\xff\x00"]
    too_long = {"account": "x" * 500_000}
    poison.append(msgspec.json.encode(msgspec.json.decode(good[0]) | too_long))
    bad_receipts = [b"[]", msgspec.json.encode(msgspec.json.decode(under_test.receipts([1])[0]) | too_long)]
    async with under_test.recorder():
        await under_test.send(under_test.names.statuses, [good[0], *poison, good[1]])
        await under_test.send(under_test.names.receipts, [*bad_receipts, *under_test.receipts([1])])
        await under_test.wait_for(delivered=1, submitted=1, queued=1)
    await under_test.sound()
    consumer = make_consumer(under_test.settings, under_test.names.deadletters, auto_offset_reset="earliest")
    await consumer.start()
    try:
        letters: list[DeadLetter] = []
        async with asyncio.timeout(10):
            while len(letters) < 7:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    letters += [msgspec.json.decode(record.value, type=DeadLetter) for record in records]
    finally:
        await consumer.stop()
    by_topic = {letter.topic: sorted(one.offset for one in letters if one.topic == letter.topic) for letter in letters}
    assert by_topic == {under_test.names.statuses: [1, 2, 3, 4, 5], under_test.names.receipts: [0, 1]}
    assert {letter.value for letter in letters} == {*poison, *bad_receipts}
    assert all(letter.error and letter.stage == "recorder" for letter in letters)


async def test_two_recorders_share_the_partitions(under_test: RecorderUnderTest) -> None:
    await under_test.make_alert(200)
    async with under_test.recorder("a"), under_test.recorder("b"):
        for number in range(4):
            recipients = range(number * 50 + 1, number * 50 + 51)
            await under_test.send(under_test.names.receipts, under_test.receipts(recipients), partition=number)
            await under_test.send(under_test.names.statuses, under_test.statuses(recipients), partition=3 - number)
        await under_test.wait_for(delivered=200)
    await under_test.sound()


async def test_partitions_that_are_taken_away_before_progress_is_reported_end_nothing(
    under_test: RecorderUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group gives half of them to another recorder between a written batch and the report of it."""
    take_written = Recording.take_written
    written = asyncio.Event()
    gone = False

    async def take_then_lose(recording: Recording, **given: Any) -> bool:
        nonlocal gone
        taken = await take_written(recording, **given)
        if taken and not gone:
            written.set()
            held = recording.assignment
            await eventually(lambda: not set(held.partitions) <= set(held.source.take().partitions))
            gone = True
        return taken

    monkeypatch.setattr(Recording, "take_written", take_then_lose)
    await under_test.make_alert(20)
    async with under_test.recorder("a"):
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 11)))
        await asyncio.wait_for(written.wait(), BUDGET_SECONDS)
        async with under_test.recorder("b"):
            for number in range(4):
                recipients = range(11 + number, 21, 4)
                await under_test.send(under_test.names.statuses, under_test.statuses(recipients), partition=number)
            await under_test.wait_for(submitted=20)
    assert gone
    await under_test.sound()


async def test_postgres_is_killed_and_comes_back(under_test: RecorderUnderTest, brokers: Brokers) -> None:
    await under_test.make_alert(300)

    async def behind() -> bool:
        return bool(under_test.health.lag)

    async def nothing_left() -> bool:
        return not under_test.health.lag

    async with under_test.recorder():
        await under_test.send(under_test.names.statuses, under_test.statuses(range(1, 101)))
        await under_test.wait_for(submitted=100, queued=200)
        await brokers.postgres.kill9()
        try:
            await under_test.send(under_test.names.statuses, under_test.statuses(range(101, 201)))
            await under_test.until(behind)
            await eventually(lambda: under_test.health.stalled_seconds() >= 1)
        finally:
            await brokers.postgres.start()
        await under_test.send(under_test.names.statuses, under_test.statuses(range(201, 301)), partition=1)
        await under_test.wait_for(submitted=300)
        await under_test.until(nothing_left)
        assert under_test.health.stalled_seconds() == 0
    await under_test.sound()


async def test_a_recorder_whose_place_was_taken_ends_itself(under_test: RecorderUnderTest) -> None:
    """Another one has written the next segment; this one must not go on beside it."""
    await under_test.make_alert(10)
    await under_test.send(under_test.names.statuses, under_test.statuses([1]))

    async def be_replaced() -> None:
        async with under_test.recorder() as task:
            await under_test.wait_for(submitted=1, queued=9)
            await under_test.query(
                "INSERT INTO evidence "
                "(topic, partition, epoch, from_offset, to_offset, count, records, previous, digest) "
                "SELECT topic, partition, epoch, to_offset, to_offset + 9, 1, records, digest, digest FROM evidence"
            )
            await under_test.send(under_test.names.statuses, under_test.statuses([2]))
            await asyncio.wait([task], timeout=20)
            assert task.done()

    with pytest.raises(FencedError):
        await be_replaced()
