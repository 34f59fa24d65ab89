"""How large a batch becomes is known before it is decompressed, for every form that a client may write."""

import gzip
from collections.abc import Callable
from typing import Any

import cramjam
import pytest
from aiokafka.codec import lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.fetches.batch_size import GZIP, LZ4, NONE, SNAPPY, ZSTD, size_within
from broadcast.kafka.fetches.partition_records import BATCH_BYTES_MAX, FetchedRecords, UnreadBatch

LIMIT = 1 << 20


def lz4_of_large_blocks(data: bytes) -> bytes:
    return bytes(cramjam.lz4.compress(data))


def raw_snappy(data: bytes) -> bytes:
    return bytes(snappy_encode(data, xerial_compatible=False))


WRITERS: list[tuple[int, Callable[[bytes], bytes]]] = [
    (NONE, bytes),
    (GZIP, gzip.compress),
    (LZ4, lz4_encode),
    (LZ4, lz4_of_large_blocks),
    (ZSTD, zstd_encode),
    (SNAPPY, snappy_encode),
    (SNAPPY, raw_snappy),
]

DATA = st.builds(lambda part, count: part * count, st.binary(max_size=200), st.integers(0, 8_000))


@pytest.mark.parametrize(("codec", "write"), WRITERS)
@given(data=DATA)
def test_the_size_is_at_least_what_comes_out_and_what_fits_is_let_through(
    codec: int, write: Callable[[bytes], bytes], data: bytes
) -> None:
    found = size_within(codec, memoryview(write(data)), LIMIT)
    if len(data) > LIMIT and codec != NONE:
        assert found is None
    else:
        assert found is not None
        assert len(data) <= found


@pytest.mark.parametrize(("codec", "write"), WRITERS[1:])
@given(data=DATA, limit=st.integers(0, LIMIT), cut=st.integers(0, 60), garbage=st.binary(max_size=40))
def test_damaged_data_has_no_size_or_one_within_the_limit(
    codec: int, write: Callable[[bytes], bytes], data: bytes, limit: int, cut: int, garbage: bytes
) -> None:
    written = write(data)
    damaged = written[: max(0, len(written) - cut)] + garbage
    found = size_within(codec, memoryview(damaged), limit)
    assert found is None or found <= limit


def test_two_frames_are_counted_together() -> None:
    for codec, write in ((GZIP, gzip.compress), (LZ4, lz4_encode), (ZSTD, zstd_encode)):
        half = write(b"\0" * (LIMIT * 2 // 3))
        assert size_within(codec, memoryview(half), LIMIT) is not None
        assert size_within(codec, memoryview(half + half), LIMIT) is None


def test_a_length_that_is_only_stated_takes_no_memory() -> None:
    assert size_within(SNAPPY, memoryview(b"\xff\xff\xff\xff\x0f" + b"\0" * 20), LIMIT) is None
    endless = b"\x82SNAPPY\x00" + b"\0\0\0\x01" * 2 + b"\xff\xff\xff\xfc" * 3
    assert size_within(SNAPPY, memoryview(endless), LIMIT) is None
    assert size_within(7, memoryview(b"unknown"), LIMIT) is None


def batch_of(values: list[bytes], codec: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1, b"key", value, [])
    return bytes(builder.build())


def test_what_a_batch_that_is_not_read_says_of_itself_is_that_of_the_batch() -> None:
    fine = batch_of([b"fine"] * 3, LZ4)
    huge = batch_of([b"\0" * (BATCH_BYTES_MAX + 1)], ZSTD)
    records = FetchedRecords(fine + huge + fine)
    found: list[Any] = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found.append((type(batch) is UnreadBatch, batch.next_offset, [record.offset for record in batch]))
    assert found == [(False, 3, [0, 1, 2]), (True, 1, [0]), (False, 3, [0, 1, 2])]
