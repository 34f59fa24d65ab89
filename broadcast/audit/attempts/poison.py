"""Poison records of the recorder: put aside as dead letters before their batch is written."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg
import structlog

from broadcast.audit.attempts.decoding import Poison
from broadcast.audit.evidence.chain import unpack
from broadcast.audit.evidence.segments import Segment
from broadcast.database.pool import REFUSED
from broadcast.deadletters.writing import encode_letter, report_letter
from broadcast.kafka.clients import AWAY, make_producer
from broadcast.kafka.events import stop_producer
from broadcast.retry import retry
from broadcast.settings import Settings
from schemas.topics import Names

_REMEMBERED = 10_000

REFUSALS: Final[tuple[type[Exception], ...]] = (*REFUSED, asyncpg.IntegrityConstraintViolationError, struct.error)
"""Errors for which a record of the batch may be to blame."""

ERROR_LENGTH_MAX: Final = 300

log = structlog.get_logger(__name__)

PoisonRecord = tuple[str, int, Poison]
"""Topic, partition and the record that cannot be read."""


class PoisonWriter:
    """Writes each poison record to the dead letters.

    It is written again only after a crash between this and the commit of its batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = Names(settings.topic_prefix).deadletters
        self._written: dict[tuple[str, int, int], None] = {}

    async def write(self, poison: Sequence[PoisonRecord]) -> None:
        """Return when Kafka has them all; a broker that is away is waited for."""
        waiting = [one for one in poison if (one[0], one[1], one[2].record.offset) not in self._written]
        if waiting:
            await retry("dead letters", lambda: self._write(waiting), service="kafka", away=AWAY)
        for place in list(self._written)[: max(0, len(self._written) - _REMEMBERED)]:
            del self._written[place]

    async def _write(self, waiting: list[PoisonRecord]) -> None:
        # A producer of its own: poison is too rare for a connection that is always open.
        producer = make_producer(self._settings)
        try:
            await producer.start()
            while waiting:
                topic, partition, (record, error) = waiting[0]
                key, value = encode_letter(record, topic=topic, partition=partition, stage="recorder", error=error)
                await producer.send_and_wait(self._topic, key=key, value=value)
                report_letter(topic=topic, partition=partition, offset=record.offset, error=error)
                self._written[topic, partition, record.offset] = None
                del waiting[0]
        finally:
            await stop_producer(producer)


def narrow(count: int) -> int:
    """Most records of the next batch after PostgreSQL refused one of `count` records."""
    return max(1, count // 2)


def widen(most: int, enough: int) -> int | None:
    """Most records of the next batch after one of at most `most` was written; None (no limit) from `enough` on."""
    return 2 * most if 2 * most < enough else None


class Refusals:
    """Finds the record for which PostgreSQL refuses a batch: batches become smaller until it is alone.

    `most` is the most records of the next batch, None without a limit. A record that was refused alone is named by
    `of`, and is then left out of its batch. It was refused at least twice, so it was not another transaction's fault.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self._found: dict[tuple[str, int], dict[int, str]] = {}

    def of(self, topic: str, partition: int) -> Mapping[int, str]:
        """Offsets of the records of a partition that PostgreSQL refuses, each with its error."""
        return self._found.get((topic, partition), {})

    def note_refused(self, segments: Sequence[Segment], error: Exception) -> None:
        """Take the next batch smaller, or name the record; raises `error` if no record is to blame."""
        held = [segment for segment in segments if segment.count]
        count = sum(segment.count for segment in held)
        if self.most == 1 and count == 1:
            [segment], [record] = held, unpack(held[0].packed)
            found = self._found.setdefault((segment.topic, segment.partition), {})
            if record.offset in found:
                raise error
            found[record.offset] = _describe(error)
            log.warning(
                "record_refused",
                topic=segment.topic,
                partition=segment.partition,
                offset=record.offset,
                error=repr(error),
            )
        elif not count:
            raise error
        self.most = narrow(count)

    def note_written(self, segments: Sequence[Segment], enough: int) -> None:
        """Take the next batch larger, up to `enough` records; forget the records that were written."""
        if self.most is not None:
            self.most = widen(self.most, enough)
        if self._found:
            for segment in segments:
                found = self._found.get((segment.topic, segment.partition), {})
                for offset in [one for one in found if one < segment.to_offset]:
                    del found[offset]


def _describe(error: Exception) -> str:
    # The message alone: the detail may show the whole row.
    message = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else error
    return f"PostgreSQL refuses it: {str(message).replace(chr(0), '')[:ERROR_LENGTH_MAX]}"
