"""Poison records of the recorder: put aside as dead letters before their batch is written."""

from collections.abc import Sequence

from broadcast.audit.attempts.decoding import Poison
from broadcast.deadletters.writing import encode_letter, report_letter
from broadcast.kafka.clients import AWAY, make_producer
from broadcast.retry import retry
from broadcast.settings import Settings
from schemas.topics import Names

_REMEMBERED = 10_000

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
            await producer.stop()
