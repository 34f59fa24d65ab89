"""Our side of the safe envelope: what our app is, and what no stage may use."""

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mode.utils.queues import FlowControlEvent, FlowControlQueue

import streams
from broadcast.health import Health
from broadcast.settings import Settings
from schemas.lane import LANES
from schemas.topics import Names
from streams.app import Stage
from streams.transport import (
    POLL_RECORDS,
    POSITIONS_LIMIT_SECONDS,
    App,
    Consumer,
    ConsumerThread,
    Transport,
    options_of,
)
from tests.support.sources import parse

SETTINGS = Settings(slot="north-1", kafka_bootstrap="127.0.0.1:1", topic_prefix="x.")
FILES = sorted(Path(streams.__path__[0]).glob("*.py"))
FAUST_FILES = {"app.py", "transport.py", "planner.py", "expander.py"}
BANNED = {"Table", "GlobalTable", "take", "group_by", "timer", "crontab", "channel", "tumbling", "hopping", "reply_to"}


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """Our app, never started."""
    app = App(SETTINGS, "planner")
    async with asyncio.timeout(20):
        yield app
    app.consumer._thread.thread_loop.close()


async def handle(event: object, source: object) -> None:
    raise AssertionError("no event comes here")


async def test_the_app_is_on_our_transport_and_never_commits(app: App) -> None:
    assert isinstance(app.transport, Transport)
    consumer = app.consumer
    assert isinstance(consumer, Consumer)
    assert isinstance(consumer._thread, ConsumerThread)
    consumer._acked["t"].append(1)
    assert await consumer.commit() is True
    assert not consumer._acked


async def test_the_consumer_reads_committed_as_a_static_member(app: App) -> None:
    consumer = app.consumer._thread._create_worker_consumer(app.transport)
    try:
        assert consumer._isolation_level == "read_committed"
        assert consumer._enable_auto_commit is False
        assert consumer._group_id == "x.planner"
        assert consumer._group_instance_id == "planner-north-1"
        assert consumer._session_timeout_ms == 10_000
        assert consumer._heartbeat_interval_ms == 1_000
        assert consumer._auto_offset_reset == "earliest"
    finally:
        await consumer.stop()


async def test_faust_starts_no_producer_and_no_web_server(app: App) -> None:
    strategy = app.boot_strategy
    assert list(strategy.kafka_producer()) == []
    assert list(strategy.web_server()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_max_poll_records", POLL_RECORDS),
        ("topic_allow_declare", False),
        ("topic_disable_leader", True),
        ("web_enabled", False),
        ("worker_redirect_stdouts", False),
        ("stream_wait_empty", True),
        ("broker_session_timeout", 10.0),
        ("broker_heartbeat_interval", 1.0),
        ("broker_request_timeout", POSITIONS_LIMIT_SECONDS),
        ("processing_guarantee", "at_least_once"),
    ],
)
async def test_faust_is_configured(app: App, name: str, value: object) -> None:
    found = getattr(app.conf, name)
    assert getattr(found, "value", found) == value


@pytest.mark.parametrize("partitions", [1, 4, 32])
async def test_a_stream_that_is_polled_no_more_has_room_for_a_poll_of_each_partition(partitions: int) -> None:
    options = options_of(Settings(expansion_partitions=partitions), "expander")
    stream: FlowControlQueue[object] = FlowControlQueue(
        options["stream_buffer_maxsize"], flow_control=FlowControlEvent()
    )
    # Each partition is polled until it has brought an event that finds the pressure high.
    assert stream.pressure_high_size + partitions * options["broker_max_poll_records"] <= stream.maxsize


async def test_every_agent_has_one_event_at_a_time() -> None:
    stage = Stage(SETTINGS, "expander", Health("expander"))
    for lane in LANES:
        stage.add_agent(Names(SETTINGS.topic_prefix).expansions(lane), handle)
    agents = list(stage.app.agents.values())
    assert len(agents) == len(LANES)
    assert {agent.concurrency for agent in agents} == {1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_stage_leaves_the_envelope(path: Path) -> None:
    tree = parse(path)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & BANNED or path.name not in FAUST_FILES
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert "faust" not in imported or path.name == "transport.py"
