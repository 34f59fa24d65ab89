"""The recorder on a real broker and database: each record once, whatever ends, stops or goes away."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from broadcast.errors import FencedError
from broadcast.kafka.clients import make_consumer
from schemas.deadletter import DeadLetter


async def test_statuses_and_receipts_reach_the_audit(bench: Any) -> None:
    await bench.make_alert(100)
    await bench.send(bench.names.statuses, bench.statuses(range(1, 51)))
    async with bench.recorder():
        await bench.wait_for(submitted=50, queued=50)
        await bench.send(bench.names.statuses, bench.statuses(range(51, 101)), partition=1)
        await bench.send(bench.names.receipts, bench.receipts(range(1, 100)))
        await bench.wait_for(delivered=99, submitted=1)

        async def completed() -> bool:
            return bool(await bench.query("SELECT state FROM alerts") == "completed")

        await bench.until(completed)
    await bench.sound()


async def test_an_idle_recorder_shows_a_receipt_at_once(bench: Any) -> None:
    await bench.make_alert(20)
    await bench.send(bench.names.statuses, bench.statuses(range(1, 21)))
    taken = []
    async with bench.recorder():
        await bench.wait_for(submitted=20)
        for recipient in range(1, 11):
            await bench.send(bench.names.receipts, bench.receipts([recipient]))
            sent = time.monotonic()
            await bench.wait_for(delivered=recipient, submitted=20 - recipient)
            taken.append(time.monotonic() - sent)
    assert sorted(taken)[5] < 0.5, taken


async def test_aborted_statuses_are_never_seen_and_leave_no_gap(bench: Any) -> None:
    await bench.make_alert(30)
    async with bench.recorder():
        await bench.send(bench.names.statuses, bench.statuses(range(1, 11)))
        await bench.wait_for(submitted=10, queued=20)
        await bench.send(bench.names.statuses, bench.statuses(range(11, 21)), commit=False)
        await bench.send(bench.names.statuses, bench.statuses(range(21, 31)))
        await bench.wait_for(submitted=20, queued=10)
    await bench.sound()


async def test_a_recorder_that_ends_anyhow_goes_on_where_its_evidence_ends(bench: Any) -> None:
    await bench.make_alert(400)
    for number in range(4):
        await bench.send(
            bench.names.statuses, bench.statuses(range(number * 100 + 1, number * 100 + 101)), partition=number
        )
        async with bench.recorder() as task:
            if number % 2:
                await bench.wait_for(submitted=number * 100 + 100, **({"queued": 200} if number == 1 else {}))
            else:
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.wait([task])
    async with bench.recorder():
        await bench.wait_for(submitted=400)
    await bench.sound()


async def test_poison_becomes_a_dead_letter_and_the_stream_goes_on(bench: Any) -> None:
    await bench.make_alert(3)
    poison = [b"{", None, b'{"alert_id":"x","recipient_id":1,"attempt":1,"outcome":"accepted"}', b"\xff\x00"]
    good = bench.statuses([1, 2])
    async with bench.recorder():
        await bench.send(bench.names.statuses, [good[0], *poison, good[1]])
        await bench.send(bench.names.receipts, [b"[]", *bench.receipts([1])])
        await bench.wait_for(delivered=1, submitted=1, queued=1)
    await bench.sound()
    consumer = make_consumer(bench.settings, bench.names.deadletters, auto_offset_reset="earliest")
    await consumer.start()
    try:
        letters: list[DeadLetter] = []
        async with asyncio.timeout(10):
            while len(letters) < 5:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    letters += [msgspec.json.decode(record.value, type=DeadLetter) for record in records]
    finally:
        await consumer.stop()
    by_topic = {letter.topic: sorted(one.offset for one in letters if one.topic == letter.topic) for letter in letters}
    assert by_topic == {bench.names.statuses: [1, 2, 3, 4], bench.names.receipts: [0]}
    assert {letter.value for letter in letters} == {*poison, b"[]"}
    assert all(letter.error and letter.stage == "recorder" for letter in letters)


async def test_two_recorders_share_the_partitions(bench: Any) -> None:
    await bench.make_alert(200)
    async with bench.recorder("a"), bench.recorder("b"):
        for number in range(4):
            recipients = range(number * 50 + 1, number * 50 + 51)
            await bench.send(bench.names.receipts, bench.receipts(recipients), partition=number)
            await bench.send(bench.names.statuses, bench.statuses(recipients), partition=3 - number)
        await bench.wait_for(delivered=200)
    await bench.sound()


async def test_postgres_is_killed_and_comes_back(bench: Any, brokers: Any) -> None:
    await bench.make_alert(300)

    async def behind() -> bool:
        return bool(bench.health.lag)

    async def nothing_left() -> bool:
        return not bench.health.lag

    async with bench.recorder():
        await bench.send(bench.names.statuses, bench.statuses(range(1, 101)))
        await bench.wait_for(submitted=100, queued=200)
        await brokers.postgres.kill9()
        try:
            await bench.send(bench.names.statuses, bench.statuses(range(101, 201)))
            await bench.until(behind)
            await asyncio.sleep(1)
            assert bench.health.stalled_seconds() >= 1
        finally:
            await brokers.postgres.start()
        await bench.send(bench.names.statuses, bench.statuses(range(201, 301)), partition=1)
        await bench.wait_for(submitted=300)
        await bench.until(nothing_left)
        assert bench.health.stalled_seconds() == 0
    await bench.sound()


async def test_a_recorder_whose_place_was_taken_ends_itself(bench: Any) -> None:
    """Another one has written the next segment; this one must not go on beside it."""
    await bench.make_alert(10)
    await bench.send(bench.names.statuses, bench.statuses([1]))

    async def be_replaced() -> None:
        async with bench.recorder() as task:
            await bench.wait_for(submitted=1, queued=9)
            await bench.query(
                "INSERT INTO evidence "
                "(topic, partition, epoch, from_offset, to_offset, count, records, previous, digest) "
                "SELECT topic, partition, epoch, to_offset, to_offset + 9, 1, records, digest, digest FROM evidence"
            )
            await bench.send(bench.names.statuses, bench.statuses([2]))
            await asyncio.wait([task], timeout=20)
            assert task.done()

    with pytest.raises(FencedError):
        await be_replaced()
