"""A producer of control records that failed once is never used again."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation, KafkaConnectionError, KafkaError, KafkaTimeoutError

from broadcast.alerts import control_writer
from broadcast.alerts.control_writer import ControlWriter
from broadcast.settings import Settings


class Producer:
    """Does at its start, and at each write, what it is told; None is a success."""

    def __init__(self, start: BaseException | None, *writes: BaseException | float | None) -> None:
        self._start, self._writes = start, list(writes)
        self.started = self.stopped = False

    async def start(self) -> None:
        if self._start is not None:
            raise self._start
        self.started = True

    async def write(self) -> None:
        assert self.started
        assert not self.stopped
        match self._writes.pop(0):
            case BaseException() as error:
                raise error
            case float() as seconds:
                await asyncio.sleep(seconds)


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    """Those that the writer is given, one after the other."""
    given: list[Producer] = []
    made = iter(given)

    async def stop(producer: Producer) -> None:
        producer.stopped = True

    async def write(producer: Producer, _records: Any) -> None:
        await producer.write()

    monkeypatch.setattr(control_writer, "make_producer", lambda _: next(made))
    monkeypatch.setattr(control_writer, "stop_producer", stop)
    monkeypatch.setattr(control_writer, "write_records", write)
    monkeypatch.setattr(control_writer, "WRITE_SECONDS", 0.01)
    return given


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (KafkaConnectionError("away"), KafkaConnectionError),
        (AssertionError("a hole in the sequence"), KafkaError),
        (IllegalOperation("the producer has ended"), KafkaError),
        (60.0, KafkaTimeoutError),
    ],
    ids=["refused", "hole", "ended", "late"],
)
async def test_after_a_write_that_failed_the_next_one_has_another_producer(
    producers: list[Producer], failure: BaseException | float, raised: type[Exception]
) -> None:
    producers += [Producer(None, None, failure), Producer(None, None, None)]
    writer = ControlWriter(Settings())
    await writer.write([])
    with pytest.raises(raised):
        await writer.write([])
    assert producers[0].stopped
    await writer.write([])
    await writer.write([])
    assert not producers[1].stopped
    await writer.stop()
    assert producers[1].stopped


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), asyncio.CancelledError()])
async def test_a_producer_that_does_not_start_is_stopped_and_not_kept(
    producers: list[Producer], error: BaseException
) -> None:
    producers += [Producer(error), Producer(None, None)]
    writer = ControlWriter(Settings())
    with pytest.raises((KafkaError, asyncio.CancelledError)):
        await writer.connect()
    assert producers[0].stopped
    await writer.connect()
    await writer.write([])
    assert (producers[1].started, producers[1].stopped) == (True, False)
