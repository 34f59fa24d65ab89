"""Whether Kafka still holds what evidence recorded: compared before any record is recorded after it."""

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from broadcast.alarms import LOST_RECORDS, LOST_TAIL, raise_alarm
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.divergence import find_divergence
from broadcast.audit.evidence.segments import Position, is_same_record, read_positions
from broadcast.kafka.clients import make_consumer
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

FETCH_BUDGET_SECONDS = 10.0
"""A record that Kafka has is read within one request timeout; one that is not read by then counts as lost."""

_TRIES = 3
_TRY_AGAIN_SECONDS = 0.5
"""A broker that has just come back may tell its log's end too low for a moment: look again before an alarm."""


class Probe:
    """Reads single records of assigned partitions, outside of any group."""

    def __init__(self, settings: Settings) -> None:
        self._consumer: AIOKafkaConsumer = make_consumer(settings, fetch_max_wait_ms=10)

    async def __aenter__(self) -> "Probe":
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self, tp: TopicPartition) -> tuple[int, int]:
        """First offset of the log, and the one after its last committed record."""
        begin = (await self._consumer.beginning_offsets([tp]))[tp]
        return begin, (await self._consumer.end_offsets([tp]))[tp]

    async def fetch(self, tp: TopicPartition, start: int, stop: int) -> Sequence[RawRecord]:
        """The records from offset `start` until before `stop` that exist."""
        _, end = await self.ends(tp)
        stop = min(stop, end)
        self._consumer.assign([tp])
        self._consumer.seek(tp, start)
        found: list[RawRecord] = []
        try:
            async with asyncio.timeout(FETCH_BUDGET_SECONDS):
                while await self._consumer.position(tp) < stop:
                    read = await self._consumer.getmany(tp, timeout_ms=100)
                    found += [
                        RawRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
                        for records in read.values()
                        for record in records
                        if record.offset < stop
                    ]
        except (OffsetOutOfRangeError, TimeoutError) as error:
            log.warning("records_missed", topic=tp.topic, partition=tp.partition, start=start, error=repr(error))
        return found


async def confirm_positions(
    settings: Settings, connection: asyncpg.Connection, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, Position]:
    """Where to go on reading each partition, after a comparison of Kafka with the end of its evidence.

    Raises `KafkaError` while the broker is away.
    """
    if not partitions:
        return {}
    recorded = await read_positions(connection, partitions)
    async with Probe(settings) as probe:
        return {tp: await _confirm_position(connection, probe, recorded[tp]) for tp in partitions}


async def _confirm_position(connection: asyncpg.Connection, probe: Probe, position: Position) -> Position:
    tp = TopicPartition(position.topic, position.partition)
    for tries in range(_TRIES):
        begin, end = await probe.ends(tp)
        if begin > position.offset:
            return await _skip_lost(connection, position, begin)
        if position.last is None or begin > position.last.offset:
            return position
        if end >= position.offset:
            found = await probe.fetch(tp, position.last.offset, position.last.offset + 1)
            if found and is_same_record(position.last, found[0]):
                return position
            if found:
                break
        if tries < _TRIES - 1:
            await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def fetch(start: int, stop: int) -> Sequence[RawRecord]:
        return await probe.fetch(tp, start, stop)

    start = await find_divergence(connection, position.topic, position.partition, begin, fetch)
    epoch = position.epoch + 1
    await raise_alarm(
        connection,
        LOST_TAIL,
        f"{position.topic}/{position.partition}/{epoch}",
        f"Kafka's log ends at {end} and evidence at {position.offset}: they differ from offset {start} on. "
        f"Epoch {epoch} begins there. Find out which copy of Kafka's data was put back, restart every stage (each "
        "has a position of the log that is gone), and run `broadcast audit verify`.",
    )
    return Position(position.topic, position.partition, epoch, start, position.digest, None)


async def _skip_lost(connection: asyncpg.Connection, position: Position, begin: int) -> Position:
    if position.last is None and position.offset == 0:
        detail = f"Kafka's log begins at {begin}, and nothing before it was recorded."
    else:
        detail = f"Kafka deleted offsets {position.offset} to {begin - 1} before they were recorded."
    epoch = position.epoch + 1
    await raise_alarm(
        connection,
        LOST_RECORDS,
        f"{position.topic}/{position.partition}/{epoch}",
        f"{detail} Epoch {epoch} begins at {begin}. Check the retention of the topic and how long no recorder ran.",
    )
    return Position(position.topic, position.partition, epoch, begin, position.digest, None)
