"""A sender whose alerts and stops have no more room sends nothing, and says so; with more room it goes on."""

import asyncio

import msgspec

from broadcast.alarms import CONTROL_FULL
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.batches import Record, write_records
from broadcast.kafka.clients import make_producer
from broadcast.kafka.topics import create_topics
from broadcast.sending.control import ControlReader
from broadcast.settings import Settings
from schemas.control import Control, Variant, stop_key
from schemas.lane import Lane
from schemas.topics import Names
from tests.support.sender_events import RecordedEvents
from tests.support.waiting import eventually

ALERTS = 30


async def test_nothing_is_sent_while_a_record_of_control_has_no_room_and_one_alarm_says_so(
    kafka_settings: Settings,
) -> None:
    await create_topics(kafka_settings, [])
    control = Names(kafka_settings.topic_prefix).control
    expires_at = epoch_milliseconds() + 3_600_000
    alerts = [
        Record(
            control,
            b"a%d" % number,
            msgspec.json.encode(
                Control(f"a{number}", Lane.ROUTINE, "Actual", expires_at, (Variant("en", "x" * 100_000),))
            ),
        )
        for number in range(ALERTS)
    ]
    stop = Record(control, stop_key("a0").encode(), b"{}")
    producer = make_producer(kafka_settings)
    await producer.start()
    try:
        await write_records(producer, [*alerts, stop])
    finally:
        await producer.stop()
    events = RecordedEvents()
    async with ControlReader.open(kafka_settings.model_copy(update={"control_megabytes": 1})) as reader:
        reading = asyncio.create_task(reader.run(events))
        await eventually(lambda: bool(events.alarms), "the alarm is raised")
        await asyncio.sleep(1.5)
        assert reader.view.counted_bytes <= 1 << 20
        assert 5 < len(reader.view.controls) < ALERTS
        assert reader.view.behind(monotonic()), "a stop may be behind what was not read"
        ((kind, subject, detail),) = events.alarms
        assert (kind, subject) == (CONTROL_FULL, f"{control}/0")
        assert "raise BROADCAST_CONTROL_MEGABYTES" in detail
        reading.cancel()
    async with ControlReader.open(kafka_settings) as reader:
        reading = asyncio.create_task(reader.run(events))
        await eventually(lambda: not reader.view.behind(monotonic()), "all is read")
        assert (len(reader.view.controls), set(reader.view.stopped)) == (ALERTS, {"a0"})
        reading.cancel()
    assert len(events.alarms) == 1
