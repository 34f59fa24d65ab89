"""What producers send is compressed lightly: aiokafka's own level costs a fifth of the sender's budget."""

import os

from aiokafka.codec import lz4_decode, lz4_encode
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from broadcast.kafka.clients import make_producer

LZ4 = DefaultRecordBatch.CODEC_LZ4
HEADER_OCTETS = 61


def test_batches_are_compressed_at_the_light_level_and_read_back() -> None:
    assert callable(make_producer), "importing it is what sets the level"
    # Level 9 finds what level 1 does not look for: a repetition that lies behind much noise.
    noise = os.urandom(20_000)
    values = [bytes(b"%d %b" % (number, noise[number * 7 : number * 7 + 90])) for number in range(2_000)]
    builder = DefaultRecordBatchBuilder(2, LZ4, 0, -1, -1, 0, 10_000_000)
    for offset, value in enumerate(values):
        builder.append(offset, 1, b"k", value, [])
    batch = bytes(builder.build())
    assert [record.value for record in MemoryRecords(batch).next_batch()] == values
    plain = lz4_decode(batch[HEADER_OCTETS:])
    assert len(batch) - HEADER_OCTETS == len(lz4_encode(plain, level=1)) != len(lz4_encode(plain, level=9))
