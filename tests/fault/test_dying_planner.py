"""A planner dies or freezes at each step of its work: senders go on, stops are seen, nobody is missed or doubled."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from broadcast.errors import FENCED_EXIT_CODE
from broadcast.kafka.batches import Record, write_records
from broadcast.kafka.clients import make_producer
from broadcast.settings import Settings
from schemas.control import Control, Variant, stop_key
from schemas.lane import Lane
from tests.integration.control import add_recipients, alert_content
from tests.support.sender_setup import Process, RouteUnderTest, encode, open_route, start_process
from tests.support.steps import Step
from tests.support.waiting import eventually
from tests.support.waiting_for_cpu import ProcessClock

SILENCE_SECONDS: Final = 1.0
"""Senders write at least so often, and write nothing of an alert so long after its stop."""

WATCHED_SECONDS: Final = 2.5
PEOPLE: Final = 20
BACKLOG: Final = 20_000

STEPS: Final = (
    ("streams.planner", "Planner._plan", "after"),
    ("broadcast.alerts.control_writer", "ControlWriter.write", "after"),
    ("broadcast.kafka.transactions", "TransactionalProducer.note_commit", "before"),
    ("broadcast.kafka.transactions", "TransactionalProducer.note_commit", "after"),
)
"""After PostgreSQL's commit, after control is acknowledged, within the transaction, and before its markers."""


@pytest.fixture
async def route(settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        for number in range(len(STEPS)):
            await add_recipients(connection, f"street-{number}", PEOPLE, number=f"+49{number + 2}")
    finally:
        await connection.close()
    async with open_route(settings, tmp_path, account="window = 20") as built:
        await built.simulator.behave(delay_ms=100)
        yield built


async def start(route: RouteUnderTest, stage: str, **more: str) -> Process:
    database = route.settings.database_url.get_secret_value()
    environment = route.environment(slot="a", database_url=database, expansion_partitions=1) | more
    log = route.directory / f"{stage}-{len(route.processes)}.log"
    process = await start_process(log, environment, "-m", "streams", stage)
    route.processes.append(process)
    return process


async def write(route: RouteUnderTest, topic: str, key: str, value: bytes) -> None:
    """Write one record, in no transaction."""
    producer = make_producer(route.settings)
    await producer.start()
    try:
        await write_records(producer, [Record(topic, key.encode(), value)])
    finally:
        await producer.stop()


async def until_frozen(process: Process) -> None:
    stat = Path(f"/proc/{process.process.pid}/stat")
    await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is frozen", within_seconds=60)


def clock_of(route: RouteUnderTest) -> ProcessClock:
    """Time as the sender, the simulator and this test have it."""
    return ProcessClock([os.getpid(), route.simulator.process.process.pid, route.processes[0].process.pid])


async def longest_silence(route: RouteUnderTest, seconds: float) -> float:
    """The longest time without a submit, over the next seconds."""
    clock = clock_of(route)
    last = longest = 0.0
    before = (await route.simulator.stats())["submits"]
    while (now := clock.seconds()) < seconds:
        submits = (await route.simulator.stats())["submits"]
        if submits > before:
            before, last = submits, now
        longest = max(longest, now - last)
        await asyncio.sleep(0.02)
    return longest


async def check_stopped(route: RouteUnderTest, number: int, why: str) -> None:
    """So long after its stop nothing more is written of a backlog, which is not at its end."""
    clock = clock_of(route)
    while clock.seconds() < SILENCE_SECONDS:
        await asyncio.sleep(0.02)
    sent = await count(route, number)
    await asyncio.sleep(SILENCE_SECONDS / 2)
    assert await count(route, number) == sent < BACKLOG, why


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGSTOP"])
async def test_a_planner_that_ends_at_any_step_silences_no_sender_and_hides_no_stop(
    route: RouteUnderTest, signal_name: str
) -> None:
    backlogs = [await route.publish() for _ in STEPS]
    for number, backlog in enumerate(backlogs):
        await route.put_jobs(backlog, range(number * BACKLOG, (number + 1) * BACKLOG))
    await route.start_sender("a")
    await start(route, "expander")
    await route.until_submitted(20)
    planners = []
    for number, (step, backlog) in enumerate(zip(STEPS, backlogs, strict=True)):
        # The first event of each but the first planner is the one that ended the planner before it.
        at = Step(*step, 1 if number == 0 else 2)
        planner = await start(route, "planner", **at.environment(signal_name))
        planners.append(planner)
        content = alert_content([f"street-{number}"], status="Test")
        await write(route, route.names.alerts, "", json.dumps(content).encode())
        if signal_name == "SIGKILL":
            assert await planner.end(60) == -signal.SIGKILL
        else:
            await until_frozen(planner)
        assert await longest_silence(route, WATCHED_SECONDS) < SILENCE_SECONDS, f"senders are silent after {step}"
        await write(route, route.names.control, stop_key(backlog), b"{}")
        await check_stopped(route, number, f"a stop is not seen after {step}")
    await start(route, "planner")

    async def everybody() -> bool:
        return len(people(await route.simulator.numbers())) == PEOPLE * len(STEPS)

    await eventually(everybody, "everybody gets the message", within_seconds=60)
    if signal_name == "SIGSTOP":
        for planner in planners:
            planner.send(signal.SIGCONT)
        # The last one has nothing left to commit, so nothing tells it that another has its place.
        for planner in planners[:-1]:
            assert await planner.end(60) == FENCED_EXIT_CODE
    assert set(people(await route.simulator.numbers()).values()) == {1}


async def count(route: RouteUnderTest, number: int) -> int:
    """Submits of one backlog."""
    first, last = 447700000000 + number * BACKLOG, 447700000000 + (number + 1) * BACKLOG
    return sum(times for said, times in (await route.simulator.numbers()).items() if first <= int(said) < last)


def people(numbers: Counter[str]) -> Counter[str]:
    """How often each person in the directory was sent a message."""
    return Counter({number: times for number, times in numbers.items() if number.startswith("49")})


async def test_an_open_transaction_of_a_stranger_on_control_stops_no_sender_and_hides_no_stop(
    route: RouteUnderTest,
) -> None:
    await route.start_sender("a")
    stranger = make_producer(
        route.settings, transactional_id=f"{route.settings.topic_prefix}stranger", transaction_timeout_ms=60_000
    )
    await stranger.start()
    try:
        await stranger.begin_transaction()
        await stranger.send_and_wait(route.names.control, b"{}", key=b"stranger/stop", partition=0)
        alert = "7" * 8 + "-0000-4000-8000-" + "7" * 12
        control = Control(alert, Lane.ROUTINE, "Test", 2**42, (Variant("en", "Water."),))
        await write(route, route.names.control, alert, encode(control))
        await route.put_jobs(alert, range(BACKLOG))
        await route.until_submitted(20)
        assert await longest_silence(route, WATCHED_SECONDS) < SILENCE_SECONDS
        await write(route, route.names.control, stop_key(alert), b"{}")
        await check_stopped(route, 0, "the stop is not seen")
    finally:
        await stranger.abort_transaction()
        await stranger.stop()
