"""Dead letters of the recorder: records that cannot be read, put aside before their batch is written."""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaError

from broadcast.audit.attempts.decoding import Poison
from broadcast.deadletters.writing import encode_letter, report_letter
from broadcast.kafka.clients import make_producer
from broadcast.settings import Settings
from schemas.topics import Names

log = structlog.get_logger(__name__)

_REMEMBERED = 10_000
_PAUSE_SECONDS = 0.5


class Letters:
    """Sends each poison record to the dead letters; again only after a crash between this and the batch's commit."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self._topic = names.deadletters
        self._producer = make_producer(settings)
        self._sent: dict[tuple[str, int, int], None] = {}
        self._started = False

    async def start(self) -> None:
        """Connect, however long the broker takes."""
        while True:
            try:
                await self._producer.start()
            except KafkaError as error:
                log.warning("kafka_away", what="dead letters", error=repr(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._started = True
                return

    async def stop(self) -> None:
        """Disconnect."""
        if self._started:
            await self._producer.stop()

    async def send(self, poison: Sequence[tuple[str, int, Poison]]) -> None:
        """Return when Kafka has them all; a broker that is away is waited for."""
        for topic, partition, one in poison:
            place = (topic, partition, one.record.offset)
            if place in self._sent:
                continue
            key, value = encode_letter(one.record, topic=topic, partition=partition, stage="recorder", error=one.error)
            await self._send(key, value)
            self._sent[place] = None
            report_letter(topic=topic, partition=partition, offset=one.record.offset, error=one.error)
        for place in list(self._sent)[: max(0, len(self._sent) - _REMEMBERED)]:
            del self._sent[place]

    async def _send(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                await self._producer.send_and_wait(self._topic, key=key, value=value)
            except KafkaError as error:
                log.warning("kafka_away", what="dead letters", error=repr(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
