"""Jobs into memory, a little ahead of what can be written, the urgent lanes first."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from broadcast.sending.settlement import Token
from broadcast.sending.sources import READ_AHEAD, Source
from schemas.lane import LANES

BUSY_POLL_MS: Final = 10
IDLE_POLL_MS: Final = 200
"""With jobs at hand a full partition may want more soon; without, a fetch wakes the reader."""

_NOWHERE: Final = TopicPartition("", -1)

Sources = Mapping[TopicPartition, Source[Token]]


class Reader:
    """Feeds the sources that the group has given us; they come and go in the mapping it was made with."""

    def __init__(self, consumer: AIOKafkaConsumer, sources: Sources, on_jobs: Callable[[], None]) -> None:
        self._consumer: Final = consumer
        self._sources: Final = sources
        self._on_jobs: Final = on_jobs

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
        """Where all that was read is taken, the consumer knows where the next record can be; the rest is done."""
        for partition, source in tuple(self._sources.items()):
            if source.empty:
                try:
                    position = await self._consumer.position(partition)
                except IllegalStateError:
                    return
                if source.empty:
                    source.progress.skip_to(position)

    async def _fetch(self, sources: Iterable[Source[Token]], timeout_ms: int = 0) -> bool:
        wanted = [source.partition for source in sources if source.wants_more]
        if not wanted and not timeout_ms:
            return False
        # Asking for a partition that does not exist only waits, and keeps up the membership.
        records = await self._consumer.getmany(*(wanted or [_NOWHERE]), timeout_ms=timeout_ms, max_records=READ_AHEAD)
        found = False
        for partition, batch in records.items():
            # Whether it is ours now, not when the wait began: what was read for a later source is not read again.
            source = self._sources.get(partition)
            if source is not None:
                source.feed(batch)
                found = True
        if found:
            self._on_jobs()
        return found
