"""Reads jobs from Kafka, the most urgent lanes first, a little ahead of what can be written."""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from broadcast.sending.answers.tokens import Token
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.sources import READ_AHEAD, Source, Sources
from schemas.lane import LANES

BUSY_POLL_MS: Final = 10
"""Longest wait for records while jobs are left: a full partition may soon want more."""

IDLE_POLL_MS: Final = 200
"""Longest wait for records while no job is left: those that come end it."""

_NO_PARTITION: Final = TopicPartition("", -1)


class JobReader:
    """Feeds `sources`, the most urgent lanes first, a little ahead of what can be written."""

    def __init__(self, consumer: AIOKafkaConsumer, sources: Sources, events: SenderEvents) -> None:
        self._consumer: Final = consumer
        self._sources: Final = sources
        self._events: Final = events

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            sources = self._sources.values()
            found = False
            for lane in LANES:
                found = await self._fetch([source for source in sources if source.lane is lane]) or found
            if found:
                await asyncio.sleep(0)
            else:
                await self._fetch(sources, BUSY_POLL_MS if any(source.runs for source in sources) else IDLE_POLL_MS)

    async def skip_gaps(self) -> None:
        """Move each position over offsets without a job, where all that was read is taken."""
        for partition, source in tuple(self._sources.items()):
            if source.empty or not source.caught_up:
                try:
                    position = await self._consumer.position(partition)
                except IllegalStateError:
                    return
                source.note_position(position)
                if source.empty:
                    source.progress.skip_to(position)

    async def _fetch(self, sources: Iterable[Source[Token]], timeout_ms: int = 0) -> bool:
        wanted = [source.partition for source in sources if source.wants_more]
        if not wanted and not timeout_ms:
            return False
        # Asking for a partition that does not exist only waits, and keeps up the membership.
        records = await self._consumer.getmany(
            *(wanted or [_NO_PARTITION]), timeout_ms=timeout_ms, max_records=READ_AHEAD
        )
        found = False
        for partition, batch in records.items():
            # Whether it is ours now, not when the wait began: what was read for a later source is not read again.
            source = self._sources.get(partition)
            if source is not None:
                source.feed(batch)
                found = True
        if found:
            self._events.write_ready()
        return found
