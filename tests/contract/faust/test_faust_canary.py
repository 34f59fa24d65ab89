"""What the pinned Faust does that we work around, and the private names that we override.

A failure here means that upstream changed: read `docs/adr/0001` and `streams/transport.py` before touching the test.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator
from importlib.metadata import version

import faust
import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.producer.sender import Sender
from faust.app.base import BootStrategy
from faust.tables.recovery import ServiceStopped
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

PARTITION = TP("t", 0)


@pytest.fixture
async def app() -> AsyncIterator[faust.App]:
    """An app that is never started, so no broker is needed."""
    app = faust.App("canary", broker="kafka://127.0.0.1:1", autodiscover=False, web_enabled=False)
    async with asyncio.timeout(20):
        yield app
    app.consumer._thread.thread_loop.close()


class Harness:
    """One topic of an app, whose events are put in by hand."""

    def __init__(self, app: faust.App) -> None:
        self.app = app
        self.topic = self.app.topic("t", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        self.app.topics.add(self.topic)
        self.app.topics._acking_topics.add("t")
        self.app.flow_control.resume()
        self.messages: list[Message] = []

    async def put(self, offset: int) -> Message:
        generation = self.app.consumer_generation_id
        message = Message("t", 0, offset, 0.0, 0, [], b"k", b"v", 0, tp=PARTITION, generation_id=generation)
        message.incref()
        self.messages.append(message)
        self.app.consumer.track_message(message)
        await self.channel.put(await self.channel.decode(message))
        return message

    def stream(self) -> faust.Stream:
        stream = self.app.stream(self.topic)
        self.channel = stream.channel
        return stream


async def test_versions_are_those_that_were_measured() -> None:
    assert {name: version(name) for name in ("faust-streaming", "mode-streaming", "aiokafka")} == {
        "faust-streaming": "0.15.3",
        "mode-streaming": "0.7.1",
        "aiokafka": "0.14.0",
    }


@pytest.mark.parametrize(("committed", "in_flight"), [(2585, 2585), (None, 0), (0, 0)])
async def test_faust_commits_past_the_event_in_flight(app: faust.App, committed: int | None, in_flight: int) -> None:
    consumer = app.consumer
    consumer._committed_offset[PARTITION] = committed
    consumer._acked[PARTITION] = list(range(in_flight + 1, in_flight + 5))
    assert consumer._new_offset(PARTITION) == in_flight + 5


async def test_an_event_that_failed_unacknowledged_is_committed_with_the_next(app: faust.App) -> None:
    consumer = app.consumer
    consumer._committed_offset[PARTITION] = 10
    consumer._acked[PARTITION] = [11]
    assert consumer._new_offset(PARTITION) == 12


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_an_event_whose_body_raised_is_acknowledged_unless_noack(app: faust.App, acknowledges: bool) -> None:
    harness = Harness(app)
    stream = harness.stream()

    async def work() -> None:
        async for _ in stream.events() if acknowledges else stream.noack().events():
            raise RuntimeError("body")

    running = asyncio.create_task(work())
    message = await harness.put(1)
    with pytest.raises(RuntimeError, match="body"):
        await running
    await stream.stop()
    assert message.acked is acknowledges


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_an_event_whose_body_was_cancelled_is_acknowledged_unless_noack(
    app: faust.App, acknowledges: bool
) -> None:
    harness = Harness(app)
    stream = harness.stream()
    begun = asyncio.Event()

    async def work() -> None:
        async for _ in stream.events() if acknowledges else stream.noack().events():
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    message = await harness.put(1)
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await stream.stop()
    await asyncio.sleep(0.05)  # the loop closes the generator that was left
    assert message.acked is acknowledges


async def test_the_safe_pattern_acknowledges_what_was_done_and_nothing_else(app: faust.App) -> None:
    harness = Harness(app)
    stream = harness.stream()
    begun = asyncio.Event()

    async def work() -> None:
        async for event in stream.noack().events():
            if event.message.offset == 3:
                begun.set()
                await asyncio.Event().wait()
            await stream.ack(event)

    running = asyncio.create_task(work())
    for offset in (1, 2, 3, 4):
        await harness.put(offset)
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await stream.stop()
    await asyncio.sleep(0.05)
    assert [message.acked for message in harness.messages] == [True, True, False, False]


async def test_waiting_for_empty_ends_when_everything_is_acknowledged(app: faust.App) -> None:
    harness = Harness(app)
    stream = harness.stream()
    consumer = harness.app.consumer
    message = await harness.put(1)
    waiting = asyncio.create_task(consumer.wait_empty())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    message.ack(consumer)
    await asyncio.wait_for(waiting, 5)
    await stream.stop()


def test_faust_reads_uncommitted_and_waits_long_unless_overridden() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert 'isolation_level: str = "read_uncommitted"' in source
    assert "fetch_max_wait_ms=1500" in source
    assert "return aiokafka.AIOKafkaConsumer(" in source


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.Consumer, "commit", ["self", "topics", "start_new_transaction"]),
        (faust.App, "_new_transport", ["self"]),
        (faust.App, "_create_directories", ["self"]),
        (BootStrategy, "_should_enable_kafka_producer", ["self"]),
        (BaseConsumer, "track_message", ["self", "message"]),
    ],
)
def test_private_names_are_as_we_override_them(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


async def test_the_transport_makes_the_consumer_of_its_class_attribute(app: faust.App) -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert "self.Consumer(" in inspect.getsource(driver.Transport.create_consumer)
    consumer = app.consumer
    assert isinstance(consumer._acked, dict)
    assert isinstance(consumer._acked_index, dict)
    assert isinstance(consumer._gap, dict)
    assert consumer._thread._consumer is None
    assert not consumer.unacked


async def test_a_wait_for_positions_that_lasts_too_long_is_taken_for_a_stop(app: faust.App) -> None:
    # The task that would let events flow again ends by this, and nothing tells anybody.
    with pytest.raises(ServiceStopped):
        await app.tables.recovery._wait(asyncio.Event().wait(), timeout=0.01)


def test_the_senders_task_says_what_ended_a_producer() -> None:
    assert isinstance(inspect.getattr_static(Sender, "sender_task"), property)
    assert "add_done_callback(self._fail_all)" in inspect.getsource(Sender.start)


def test_positions_of_the_aiokafka_consumer_are_where_we_look() -> None:
    for name in ("has_valid_position", "position"):
        assert isinstance(inspect.getattr_static(TopicPartitionState, name), property)
