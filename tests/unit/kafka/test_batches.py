"""Batches of records: filled for one partition, decoded at once, singly only where one is poison."""

import math

import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.evidence.chain import RawRecord
from broadcast.kafka.batches import RecordDecoder, fill_batches
from schemas.status import Outcome, Status

NOW = 1_700_000_000_000
DECODER = RecordDecoder(Status)


def make_batch(size: int = 512 * 1024) -> BatchBuilder:
    return BatchBuilder(size, 0, is_transactional=1)


def records_of(batch: BatchBuilder) -> list[tuple[bytes, bytes, int]]:
    records = MemoryRecords(bytes(batch._builder.build()))
    return [(record.key, record.value, record.timestamp) for part in iter(records.next_batch, None) for record in part]


def status(number: int) -> Status:
    return Status("a", number, 1, Outcome.FAILED, segment=0, reason="no route")


def test_records_fill_as_many_batches_as_they_need() -> None:
    statuses = [status(number) for number in range(1, 101)]
    given_records = [(b"%d" % one.recipient_id, msgspec.json.encode(one)) for one in statuses]
    size = 3_000
    batches = fill_batches(lambda: make_batch(size), given_records, NOW)
    assert len(batches) >= math.ceil(sum(len(value) for _, value in given_records) / size) > 1
    records = [record for batch in batches for record in records_of(batch)]
    assert [msgspec.json.decode(value, type=Status) for _, value, _ in records] == statuses
    assert [key for key, _, _ in records] == [b"%d" % number for number in range(1, 101)]
    assert {timestamp for _, _, timestamp in records} == {NOW}
    assert fill_batches(make_batch, [], NOW) == []


GOOD = [msgspec.json.encode(status(number)) for number in (1, 2)]
HALF, OTHER_HALF = GOOD[0][:20], GOOD[0][20:]
INNER, OTHER_INNER = GOOD[0][:-1] + b',"other":[[{"a":1}', b'{"a":2}]]}'
BAD = [
    b"{",
    b"[]",
    b"\xff\x00",
    b"",
    None,
    b"null",
    b"1",
    b"[" * 5_000,
    b",".join(GOOD),
    b",1,".join(GOOD),
    b"%b,%b" % (GOOD[1], GOOD[0][:-1]),
    b'"other":1}',
    b"%b,%b" % (GOOD[1], HALF),
    OTHER_HALF,
    b"%b,%b" % (GOOD[1], INNER),
    b"%b,1,%b" % (GOOD[1], INNER),
    OTHER_INNER,
]
"""Also such that two of them, one after the other, hold two values with a comma between."""


@given(st.lists(st.sampled_from([*GOOD, *BAD]), max_size=12))
def test_poison_is_found_wherever_it_stands(values: list[bytes | None]) -> None:
    records = [RawRecord(offset, NOW, b"k", value) for offset, value in enumerate(values)]
    decoded = DECODER.decode(records)
    assert [poison.record.offset for poison in decoded.poison] == [
        offset for offset, value in enumerate(values) if value in BAD
    ]
    assert [record.value for record in decoded.records] == [value for value in values if value in GOOD]
    assert decoded.values == [msgspec.json.decode(record.value or b"", type=Status) for record in decoded.records]
    assert all(poison.error for poison in decoded.poison)


def test_a_value_that_ends_in_the_next_record_is_poison_in_both() -> None:
    """Together they hold as many values as records, whatever JSON the first leaves open."""
    for begun, ended in (
        (GOOD[0][:-1], b'"other":1}'),
        (GOOD[0][:-1] + b',"other":[1', b"2]}"),
        (INNER, OTHER_INNER),
    ):
        for comma in (b",", b" , ", b",1,"):
            values = [GOOD[1] + comma + begun, ended]
            decoded = DECODER.decode([RawRecord(offset, NOW, b"k", value) for offset, value in enumerate(values)])
            assert not decoded.values
            assert len(decoded.poison) == 2


def test_an_error_says_what_is_wrong() -> None:
    records = [RawRecord(0, NOW, b"k", None), RawRecord(1, NOW, b"k", b"{")]
    first, second = DECODER.decode(records).poison
    assert first.error == "value is null; a JSON object is needed"
    assert second.error.startswith("value cannot be read: ")
