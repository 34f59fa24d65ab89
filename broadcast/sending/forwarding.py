"""Receipts and messages from phones to Kafka, at once; the SMSC is answered when Kafka has them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import thread_time
from typing import Any, Final
from zlib import crc32

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from broadcast.clock import epoch_milliseconds
from broadcast.kafka.batches import KeyValue, send_records
from broadcast.kafka.clients import make_producer, start_client
from broadcast.kafka.events import stop_producer
from broadcast.routing import Account
from broadcast.sending.arrivals.encoding import DeliveryEncoder
from broadcast.sending.arrivals.turns import Turn, split_deliveries
from broadcast.settings import Settings
from broadcast.smpp.codec.command_status import ROK
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.session import Session
from schemas.topics import Names

log = structlog.get_logger(__name__)

LARGE_BATCH: Final = 50
LARGE_BATCH_PAUSE_SECONDS: Final = 0.025
"""After a batch of so many the next waits a little and grows: a batch costs Kafka the same whatever it holds."""

DELIVERIES_LIMIT: Final = 10_000
OCTETS_LIMIT: Final = 4 * 1024 * 1024
"""So many deliveries, or octets of messages from phones, are written together; the others wait for the next time."""

STOP_SECONDS: Final = 2.0

NoteDelays = Callable[[Sequence[float], float, int], None]
"""Is told how many seconds receipts needed that came together, from submit to done date; and the work, in seconds, for
how many deliveries."""

Arrival = tuple[Account, Session[Any], list[Delivery], NoteDelays]


class Forwarder:
    """Writes deliveries to Kafka with an idempotent producer of its own, outside the beat.

    A receipt is true whichever sender hears it, so it waits for no position.
    """

    def __init__(self, settings: Settings, route: str, producer: AIOKafkaProducer) -> None:
        names = Names(settings.topic_prefix)
        self._receipts_topic: Final = names.receipts
        self._inbound_topic: Final = names.inbound
        self._partitions: Final = settings.receipt_partitions
        self._encoder: Final = DeliveryEncoder(route, settings.require_number_key())
        self._settings: Final = settings
        self._producer: AIOKafkaProducer = producer
        self._arrivals: Final[deque[Arrival]] = deque()
        self._arrived: Final = asyncio.Event()
        self._idle: Final = asyncio.Event()
        self._stopped = False
        self._idle.set()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, route: str) -> AsyncIterator["Forwarder"]:
        """Connect; `stop` at the end."""
        forwarder = cls(settings, route, await _start_producer(settings))
        try:
            yield forwarder
        finally:
            await forwarder.stop()

    async def stop(self) -> None:
        """Give what has arrived some time to reach Kafka, and disconnect; the SMSC sends the rest again.

        Only the first call does anything.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._idle.wait()
                await self._producer.stop()
        except TimeoutError:
            log.warning("receipts_left", arrivals=len(self._arrivals))

    def add(self, account: Account, session: Session[Any], deliveries: list[Delivery], note_delays: NoteDelays) -> None:
        """What one session has just received."""
        self._arrivals.append((account, session, deliveries, note_delays))
        self._idle.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Write and answer until cancelled."""
        while True:
            if not self._arrivals:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            count = await self._send()
            if count >= LARGE_BATCH:
                await asyncio.sleep(LARGE_BATCH_PAUSE_SECONDS)

    async def _send(self) -> int:
        now = epoch_milliseconds()
        receipts: dict[int, list[KeyValue]] = {}
        inbound: list[KeyValue] = []
        arrivals = await self._encode(now, receipts, inbound)
        try:
            futures = []
            for partition, records in receipts.items():
                futures += await send_records(self._producer, self._receipts_topic, partition, records, now)
            futures += await send_records(self._producer, self._inbound_topic, 0, inbound, now)
            await asyncio.gather(*futures)
        except KafkaError as error:
            log.warning("deliveries_not_written", error=repr(error))
            await self._replace_producer()
            # Some SMSCs wait for the answer rather than send again; a receipt that is on Kafka twice does no harm.
            self._arrivals.extendleft(reversed(arrivals))
            return 0
        for _, session, deliveries, _ in arrivals:
            _answer(session, deliveries)
        return sum(map(len, receipts.values()))

    async def _encode(self, now: int, receipts: dict[int, list[KeyValue]], inbound: list[KeyValue]) -> list[Arrival]:
        """Encode arrivals up to the limits, and take them out; everything else of the process has its turn meanwhile.

        One SMSC can deliver as much as it likes, and must not keep beats and other accounts waiting.
        """
        arrivals: list[Arrival] = []
        deliveries_left, octets_left = DELIVERIES_LIMIT, OCTETS_LIMIT
        turn = Turn()
        while self._arrivals and deliveries_left > 0 and octets_left > 0:
            arrival = self._arrivals.popleft()
            arrivals.append(arrival)
            account, _, deliveries, note_delays = arrival
            deliveries_left -= len(deliveries)
            records = receipts.setdefault(partition_of_account(account.name, self._partitions), [])
            for run in split_deliveries(deliveries):
                left = run
                while left:
                    await turn.give_way()
                    before, began = len(inbound), thread_time()
                    delays = self._encoder.encode(account, turn.take(left), now, receipts=records, inbound=inbound)
                    note_delays(delays, thread_time() - began, turn.taken)
                    octets_left -= sum([len(value) for _, value in inbound[before:]])
                    left = left[turn.taken :]
        return arrivals

    async def _replace_producer(self) -> None:
        # The sequence of an idempotent producer that was refused has a hole: Kafka refuses all that follows.
        await stop_producer(self._producer)
        self._producer = await _start_producer(self._settings)


def _answer(session: Session[Any], deliveries: Sequence[Delivery]) -> None:
    """Accept what could be stored; what is no valid PDU is stored too, and refused by its own command_status."""
    faults = [delivery for delivery in deliveries if delivery.fault is not None]
    if not faults:
        session.answer([delivery.sequence for delivery in deliveries])
        return
    by_status: dict[int, list[int]] = {}
    for delivery in deliveries:
        status = ROK if delivery.fault is None else delivery.fault.command_status
        by_status.setdefault(status, []).append(delivery.sequence)
    for status, sequences in by_status.items():
        session.answer(sequences, status)


async def _start_producer(settings: Settings) -> AIOKafkaProducer:
    return await start_client("receipts", lambda: make_producer(settings), AIOKafkaProducer.stop)


def partition_of_account(account: str, partitions: int) -> int:
    """The partition of an account's receipts: always the same, so that they keep their order."""
    return crc32(account.encode()) % partitions
