"""Kafka's data put back from an old copy: an alarm and a new epoch, nothing skipped, and the audit still verifies."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broadcast.embedded.servers.kafka import Kafka
from broadcast.kafka.topics import create_topics
from broadcast.settings import Settings
from tests.support.recorder_under_test import RecorderUnderTest


@pytest.fixture
async def own_kafka(session_directory: Path, tmp_path: Path) -> AsyncIterator[Kafka]:
    """A broker of this test's own, whose data it may change."""
    broker = Kafka(session_directory / f"kafka-{tmp_path.name}")
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def under_own_kafka(own_kafka: Kafka, database_url: str, tmp_path: Path) -> RecorderUnderTest:
    settings = Settings(
        data_dir=tmp_path,
        slot="test",
        kafka_bootstrap=own_kafka.bootstrap,
        database_url=database_url,
        status_partitions=2,
        receipt_partitions=1,
    )
    await create_topics(settings, [])
    return RecorderUnderTest(settings)


async def copy_data(kafka: Kafka, to: Path) -> None:
    """A copy of the broker's data, taken while it is down."""
    await kafka.stop()
    shutil.copytree(kafka.log_directory, to, symlinks=True)
    await kafka.start()


async def put_back(kafka: Kafka, copy: Path) -> None:
    """End the broker hard, and start it on the copy."""
    await kafka.kill9()
    shutil.rmtree(kafka.log_directory)
    shutil.copytree(copy, kafka.log_directory, symlinks=True)
    await kafka.start()


@pytest.mark.parametrize("running", [True, False], ids=["while recording", "while stopped"])
async def test_an_old_copy_is_an_alarm_and_a_new_epoch(
    under_own_kafka: RecorderUnderTest, own_kafka: Kafka, session_directory: Path, tmp_path: Path, running: bool
) -> None:
    under_test, names = under_own_kafka, under_own_kafka.names
    copy = session_directory / f"copy-{tmp_path.name}"
    await under_test.make_alert(60)
    async with under_test.recorder():
        await under_test.send(names.statuses, under_test.statuses(range(1, 11)))
        await under_test.send(names.statuses, under_test.statuses(range(11, 21)), partition=1)
        await under_test.wait_for(submitted=20, queued=40)
    await copy_data(own_kafka, copy)

    async with under_test.recorder():
        await under_test.send(names.statuses, under_test.statuses(range(21, 31)))
        await under_test.wait_for(submitted=30, queued=30)
        if running:
            await put_back(own_kafka, copy)
            # More than was lost, so that the new log is longer than the old one was.
            await under_test.send(names.statuses, under_test.statuses(range(31, 51)))
            await under_test.wait_for(submitted=50, queued=10)
    if not running:
        await put_back(own_kafka, copy)
        await under_test.send(names.statuses, under_test.statuses(range(31, 51)))
        async with under_test.recorder():
            await under_test.wait_for(submitted=50, queued=10)

    async with under_test.recorder():
        # Sent again by a sender that lost its position: counted once.
        await under_test.send(names.statuses, under_test.statuses(range(21, 31)), partition=1)
        await under_test.send(names.receipts, under_test.receipts(range(1, 51)))
        await under_test.wait_for(delivered=50, queued=10)
        assert await under_test.query("SELECT count(*) FROM attempts") == 60
    assert await under_test.query("SELECT array_agg(kind || ' ' || subject) FROM alarms") == [
        f"kafka_lost_its_tail {names.statuses}/0/1"
    ]
    assert await under_test.query("SELECT min(from_offset) FROM evidence WHERE epoch = 1") == 10
    await under_test.sound()


async def test_kafka_that_lost_everything_begins_anew(
    under_own_kafka: RecorderUnderTest, own_kafka: Kafka, session_directory: Path, tmp_path: Path
) -> None:
    under_test, names = under_own_kafka, under_own_kafka.names
    copy = session_directory / f"copy-{tmp_path.name}"
    await copy_data(own_kafka, copy)
    await under_test.make_alert(30)
    for epoch in range(3):
        recipients = range(epoch * 10 + 1, epoch * 10 + 11)
        async with under_test.recorder():
            await under_test.send(names.statuses, under_test.statuses(recipients))
            await under_test.wait_for(submitted=epoch * 10 + 10, **({} if epoch == 2 else {"queued": 20 - epoch * 10}))
        if epoch < 2:
            await put_back(own_kafka, copy)
    assert await under_test.query("SELECT array_agg(from_offset ORDER BY epoch) FROM evidence") == [0, 0, 0]
    await under_test.sound()
