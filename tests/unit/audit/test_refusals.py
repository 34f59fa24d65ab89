"""Which record of a batch PostgreSQL refuses is found, and no other is put aside, wherever refused records stand."""

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.attempts.poison import Refusals, narrow, widen
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import Position, Segment

TOPIC = "statuses.v1"
ENOUGH = 64


def segment_of(first: int, count: int, partition: int = 0) -> Segment:
    records = [RawRecord(first + number, 1, None, b"") for number in range(count)]
    return Position(TOPIC, partition, offset=first).extend(1, records, first + count)[0]


@given(length=st.integers(1, 400), bad=st.sets(st.integers(0, 399), max_size=6), readable=st.integers(1, 200))
def test_each_refused_record_is_found_and_no_other(length: int, bad: set[int], readable: int) -> None:
    refusals, offset, left_out, refused_batches = Refusals(), 0, [], 0
    bad = {one for one in bad if one < length}
    while offset < length:
        count = min(length - offset, readable, refusals.most or ENOUGH)
        segment = segment_of(offset, count)
        known = set(refusals.of(TOPIC, 0))
        batch = range(offset, offset + count)
        if bad.intersection(batch) - known:
            refused_batches += 1
            refusals.note_refused([segment], asyncpg.NumericValueOutOfRangeError("too large"))
            continue
        left_out += sorted(known.intersection(batch))
        refusals.note_written([segment], ENOUGH)
        offset += count
    assert left_out == sorted(bad)
    assert refusals.of(TOPIC, 0) == {}
    assert refused_batches <= 16 * len(bad)


@given(st.integers(1, 10**6))
def test_batches_become_smaller_down_to_one_record_and_larger_up_to_no_limit(count: int) -> None:
    assert 1 <= narrow(count) <= max(1, count - 1)
    most: int | None = 1
    for _ in range(20):
        most = None if most is None else widen(most, 8_000)
    assert most is None


def test_a_batch_in_which_nothing_is_left_to_blame_raises_its_error() -> None:
    refusals, error = Refusals(), asyncpg.NumericValueOutOfRangeError("too large")
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        refusals.note_refused([segment_of(0, 0)], error)
    for _ in range(2):
        refusals.note_refused([segment_of(0, 1)], error)
    assert refusals.of(TOPIC, 0) == {0: "PostgreSQL refuses it: too large"}
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        refusals.note_refused([segment_of(0, 1)], error)


def test_a_record_that_is_refused_once_is_tried_again() -> None:
    refusals = Refusals()
    refusals.note_refused([segment_of(0, 1)], asyncpg.UniqueViolationError("twice"))
    assert refusals.of(TOPIC, 0) == {}
    refusals.note_written([segment_of(0, 1)], ENOUGH)
    assert refusals.of(TOPIC, 0) == {}


def test_a_limit_ends_where_it_would_be_enough() -> None:
    assert [widen(most, 64) for most in (1, 31, 32, 64)] == [2, 62, None, None]
    assert [narrow(count) for count in (100, 3, 2, 1)] == [50, 1, 1, 1]


def test_segments_without_records_name_none_and_are_not_to_blame() -> None:
    refusals, error = Refusals(), asyncpg.NumericValueOutOfRangeError("too\0 large")
    refusals.note_refused([segment_of(0, 2)], error)
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        refusals.note_refused([segment_of(0, 0), segment_of(0, 0, partition=1)], error)
    refusals.note_refused([segment_of(0, 0), segment_of(0, 1, partition=1)], error)
    assert (refusals.of(TOPIC, 0), refusals.of(TOPIC, 1)) == ({}, {0: "PostgreSQL refuses it: too large"})


def test_a_record_that_is_refused_is_known_until_it_is_behind_what_was_written() -> None:
    refusals = Refusals()
    for _ in range(2):
        refusals.note_refused([segment_of(4, 1)], asyncpg.NumericValueOutOfRangeError("too large"))
    refusals.note_written([segment_of(0, 4)], ENOUGH)
    assert set(refusals.of(TOPIC, 0)) == {4}
    refusals.note_written([segment_of(4, 1)], ENOUGH)
    assert refusals.of(TOPIC, 0) == {}
