"""A Faust stage that reads events again which Kafka still has, or cannot read what it has yet."""

import asyncio

import pytest

from broadcast.health import Health
from broadcast.kafka.clients import make_producer
from broadcast.kafka.events import Event, Source
from broadcast.settings import Settings
from streams.app import Stage
from tests.support.waiting import eventually

from .conftest import Make

EVENTS = 5
HELD = 3


async def test_a_stage_that_goes_back_to_its_position_has_lost_nothing(
    kafka_settings: Settings, make_topic: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Faust does after a rebalance, for instance when the process was frozen for longer than its session."""
    topic = f"{kafka_settings.topic_prefix}in"
    await make_topic(topic)
    async with make_producer(kafka_settings) as producer:
        for number in range(EVENTS):
            await producer.send_and_wait(topic, b"%d" % number, partition=0)
    monkeypatch.setattr("streams.app.WATCH_SECONDS", 0.05)
    stage = Stage(kafka_settings, "trial", Health("trial"))
    looks, done = 0, list[int]()
    held, stop = asyncio.Event(), asyncio.Event()
    went_back = stage.app.went_back

    def count_looks() -> object:
        nonlocal looks
        looks += 1
        return went_back()

    async def handle(event: Event, source: Source) -> None:
        if event.offset == HELD:
            await held.wait()
        await source.commit(event.offset)
        done.append(event.offset)

    async def some_looks() -> None:
        reached = looks + 3
        await eventually(lambda: looks >= reached or work.done())

    monkeypatch.setattr(stage.app, "went_back", count_looks)
    stage.add_agent(topic, handle)
    work = asyncio.create_task(stage.run(stop))
    try:
        await eventually(lambda: len(done) == HELD and EVENTS - 1 in stage.app.consumer._read_offset.values())
        await some_looks()
        stage.app.consumer.stop_flow()
        await stage.app.consumer.perform_seek()
        await some_looks()
        stage.app.consumer.resume_flow()
        held.set()
        await eventually(lambda: len(done) == EVENTS or work.done())
        assert done == list(range(EVENTS))
    finally:
        held.set()
        stop.set()
        await asyncio.wait((work, asyncio.create_task(stage.app.stop())), timeout=10)
    assert work.exception() is None


async def test_a_stage_behind_an_open_transaction_is_not_ready_and_has_no_lag_after_it(
    kafka_settings: Settings, make_topic: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"{kafka_settings.topic_prefix}in"
    await make_topic(topic)
    monkeypatch.setattr("streams.app.WATCH_SECONDS", 0.05)
    health = Health("trial", stall_seconds=1.0)
    stage = Stage(kafka_settings, "trial", health)
    done, stop = list[int](), asyncio.Event()

    async def handle(event: Event, source: Source) -> None:
        await source.commit(event.offset)
        done.append(event.offset)

    stage.add_agent(topic, handle)
    work = asyncio.create_task(stage.run(stop))
    try:
        async with make_producer(kafka_settings, transactional_id=f"{kafka_settings.topic_prefix}stranger") as stranger:
            await eventually(lambda: health.ready() or work.done())
            await stranger.begin_transaction()
            await stranger.send_and_wait(topic, b"0", partition=0)
            await eventually(lambda: not health.ready(), within_seconds=10)
            assert "1 records are left" in health.report()["holds"]["progress"]  # type: ignore[index]
            await stranger.commit_transaction()
            await eventually(lambda: done == [0] and health.ready() and health.lag == 0)
    finally:
        stop.set()
        await asyncio.wait((work, asyncio.create_task(stage.app.stop())), timeout=10)
    assert work.exception() is None
