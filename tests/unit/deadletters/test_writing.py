"""A record that was replayed and fails again says so in its new dead letter, whichever stage puts it aside."""

import msgspec
import pytest
import structlog
from aiokafka.structs import ConsumerRecord

from broadcast import metrics
from broadcast.audit.evidence.chain import RawRecord
from broadcast.deadletters.writing import REPLAY_HEADER, encode_letter, report_letter
from broadcast.kafka.events import Event
from broadcast.sending.outbox import Outbox
from schemas.deadletter import DeadLetter

REPLAYED = ((REPLAY_HEADER, b"7"),)
AGAIN = "is not JSON (again, after the replay of 7)"


def consumed(headers: tuple[tuple[str, bytes], ...]) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(
        topic="jobs.x",
        partition=2,
        offset=5,
        timestamp=0,
        timestamp_type=0,
        key=b"k",
        value=b"{",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
        headers=headers,
    )


@pytest.mark.parametrize(
    "record",
    [
        consumed(REPLAYED),
        RawRecord(5, 0, b"k", b"{", REPLAYED),
        Event("jobs.x", 2, 5, b"k", b"{", headers=REPLAYED),
    ],
    ids=["sender", "recorder", "planner and expander"],
)
def test_a_replayed_record_says_so(record: "Event | RawRecord | ConsumerRecord[bytes, bytes]") -> None:
    key, value = encode_letter(record, topic="jobs.x", partition=2, stage="any", error="is not JSON")
    letter = msgspec.json.decode(value, type=DeadLetter)
    assert key == b"jobs.x"
    assert (letter.topic, letter.partition, letter.offset, letter.stage) == ("jobs.x", 2, 5, "any")
    assert (letter.key, letter.value, letter.error) == (b"k", b"{", AGAIN)


def test_one_that_was_not_replayed_does_not() -> None:
    headers = (("other", b"7"), (REPLAY_HEADER, None))
    for record in (RawRecord(5, 0, None, None), RawRecord(5, 0, None, None, headers)):  # type: ignore[arg-type]
        _, value = encode_letter(record, topic="jobs.x", partition=2, stage="any", error="is not JSON")
        assert msgspec.json.decode(value, type=DeadLetter).error == "is not JSON"


def test_the_sender_puts_aside_with_the_records_headers() -> None:
    outbox = Outbox()
    outbox.add_dead_letter(consumed(REPLAYED), "is not JSON")
    ((key, value),) = outbox.take().deadletters
    letter = msgspec.json.decode(value, type=DeadLetter)
    assert (key, letter.stage, letter.error) == (b"jobs.x", "sender", AGAIN)


def test_a_written_letter_is_logged_and_counted() -> None:
    counter = metrics.deadletters.labels("jobs.counted")
    with structlog.testing.capture_logs() as lines:
        report_letter(topic="jobs.counted", partition=2, offset=5, error="is not JSON")
    assert counter._value.get() == 1
    assert lines == [
        {
            "event": "dead_letter_written",
            "log_level": "warning",
            "topic": "jobs.counted",
            "partition": 2,
            "offset": 5,
            "error": "is not JSON",
        }
    ]
