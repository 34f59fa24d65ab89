"""Where Kafka and evidence part: found by halving, whatever was cut, changed or put back before."""

from collections.abc import Sequence
from random import Random
from typing import Any

import asyncpg
import pytest

from broadcast.audit import verify
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.divergence import find_divergence
from broadcast.audit.evidence.segments import Position, SegmentIds, add_segments, read_positions

TOPIC = "broadcast.statuses.v1"


class Log:
    """A partition's log in memory; `fetches` counts the reads."""

    def __init__(self, begin: int = 0) -> None:
        self.records: list[RawRecord] = []
        self.begin = begin
        self.fetches = 0

    def append(self, count: int, mark: str, random: Random) -> None:
        offset = self.records[-1].offset + 1 if self.records else 0
        for _ in range(count):
            offset += random.choice([0, 0, 0, 1])
            self.records.append(RawRecord(offset, 1, b"k", f"{mark}{offset}".encode()))
            offset += 1

    async def fetch(self, start: int, stop: int) -> Sequence[RawRecord]:
        self.fetches += 1
        return [record for record in self.records if max(start, self.begin) <= record.offset < stop]


@pytest.mark.parametrize("seed", range(8))
async def test_every_epoch_begins_where_the_log_parts_from_the_evidence(
    connection: asyncpg.Connection, seed: int
) -> None:
    random, log, ids = Random(seed), Log(), SegmentIds()
    position = Position(TOPIC, 0)
    for epoch in range(4):
        log.append(random.randint(20, 60), f"e{epoch}-", random)
        pending = [record for record in log.records if record.offset >= position.offset]
        while pending:
            size = random.randint(1, 7)
            now, pending = pending[:size], pending[size:]
            await ids.reserve(connection, 1)
            to_offset = pending[0].offset if pending else now[-1].offset + random.choice([1, 2])
            segment, position = position.extend(ids.take(), now, to_offset)
            await add_segments(connection, [segment])
        assert (await read_positions(connection, [(TOPIC, 0)]))[TOPIC, 0] == position
        kept = random.choice([0, 1, len(log.records) // 2, len(log.records) - 1])
        parted = log.records[kept - 1].offset + 1 if kept else 0
        log.records = log.records[:kept]
        log.append(random.randint(0, 3), f"new{epoch}-", random)
        log.fetches = 0
        found = await find_divergence(connection, TOPIC, 0, 0, log.fetch)
        assert found == parted
        assert log.fetches <= 10
        position = Position(TOPIC, 0, position.epoch + 1, found, position.digest)
    assert (await verify(connection)).faults == []


async def test_what_kafka_deleted_by_age_counts_as_equal(connection: asyncpg.Connection) -> None:
    random, log, ids = Random(1), Log(), SegmentIds()
    log.append(30, "a", random)
    await ids.reserve(connection, 30)
    position = Position(TOPIC, 0)
    for record in log.records:
        segment, position = position.extend(ids.take(), [record], record.offset + 1)
        await add_segments(connection, [segment])
    log.begin = log.records[20].offset
    log.records = log.records[:25]
    found: Any = await find_divergence(connection, TOPIC, 0, log.begin, log.fetch)
    assert found == log.records[-1].offset + 1
