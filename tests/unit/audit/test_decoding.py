"""Whole batches are read at once, and one bad record costs only itself."""

import json

import pytest

from broadcast.audit.attempts.decoding import read_receipts, read_statuses
from broadcast.audit.evidence.chain import RawRecord

ALERT = "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"
GOOD = {"alert_id": ALERT, "recipient_id": 1, "attempt": 1, "outcome": "accepted"}


def status(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


POISON = {
    "null": None,
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"alert_id":"\xff"}',
    "an array": b"[]",
    "two values": status() + b"," + status(),
    "a number too large": status(recipient_id=2**63),
    "an attempt too large": status(attempt=40_000),
    "an instant too late": status(at=10**18),
    "a negative error": status(error=-1),
    "no such outcome": status(outcome="eaten"),
    "a field missing": b'{"recipient_id":1}',
    "an alert id that is no UUID": status(alert_id="x"),
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
def test_poison_is_set_apart_and_the_others_are_read(value: bytes | None) -> None:
    records = [
        RawRecord(0, 10, b"1", status(recipient_id=1)),
        RawRecord(1, 11, b"2", value),
        RawRecord(2, 12, b"3", status(recipient_id=3)),
    ]
    read = read_statuses(records)
    assert [found.recipient_id for found in read.values] == [1, 3]
    assert read.timestamps == [10, 12]
    assert [poison.record.offset for poison in read.poison] == [1]
    assert read.poison[0].error


def test_unknown_fields_are_ignored() -> None:
    read = read_statuses([RawRecord(0, 10, b"1", status(colour="red"))])
    assert len(read.values) == 1
    assert read.poison == []


def test_receipts_are_read_the_same_way() -> None:
    good = b'{"account":"a","message_id":"1","state":"delivered"}'
    read = read_receipts([RawRecord(0, 1, b"a", good), RawRecord(1, 2, b"a", b"nonsense"), RawRecord(2, 3, b"a", good)])
    assert len(read.values) == 2
    assert [poison.record.offset for poison in read.poison] == [1]


@pytest.mark.parametrize(("timestamp", "instant"), [(-1, 0), (-(2**63), 0), (2**62, 253_402_300_799_999), (5, 5)])
def test_a_timestamp_that_cannot_be_stored_becomes_the_nearest_that_can(timestamp: int, instant: int) -> None:
    records = [RawRecord(0, 10, b"1", status()), RawRecord(1, timestamp, b"2", status())]
    assert read_statuses(records).timestamps == [10, instant]
    assert read_statuses([*records, RawRecord(2, timestamp, b"3", b"{")]).timestamps == [10, instant]
