"""Receipts and messages from phones to Kafka, at once; the SMSC is answered when Kafka has them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from zlib import crc32

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from broadcast.kafka.batches import KeyValue, send_records
from broadcast.kafka.clients import make_producer, start_client
from broadcast.pii import number_hasher
from broadcast.routing import Account
from broadcast.settings import Settings
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import UDHI, Delivery
from broadcast.smpp.codec.message_ids import normalise_receipt_ids
from broadcast.smpp.codec.receipts import is_phone_message, parse_receipt, seconds_between
from broadcast.smpp.session import Session
from broadcast.text import gsm, ucs2
from schemas.inbound import Inbound
from schemas.receipt import Receipt
from schemas.topics import Names

log = structlog.get_logger(__name__)

LARGE_BATCH: Final = 50
LARGE_BATCH_PAUSE_SECONDS: Final = 0.025
"""After a batch of so many the next waits a little and grows: a batch costs Kafka the same whatever it holds."""

STOP_SECONDS: Final = 2.0

_ENCODE: Final = msgspec.json.Encoder().encode

Arrival = tuple[Account, Session[Any], list[Delivery]]


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

    def add(self, account: Account, session: Session[Any], deliveries: list[Delivery]) -> None:
        """What one session has just received."""
        self._arrivals.append((account, session, deliveries))
        self._idle.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Write and answer until cancelled."""
        while True:
            if not self._arrivals:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            arrivals = list(self._arrivals)
            self._arrivals.clear()
            count = await self._send(arrivals)
            if count >= LARGE_BATCH:
                await asyncio.sleep(LARGE_BATCH_PAUSE_SECONDS)

    async def _send(self, arrivals: list[Arrival]) -> int:
        now = epoch_milliseconds()
        receipts: dict[int, list[KeyValue]] = {}
        inbound: list[KeyValue] = []
        for account, _, deliveries in arrivals:
            records = receipts.setdefault(partition_of_account(account.name, self._partitions), [])
            self._encoder.encode(account, deliveries, now, receipts=records, inbound=inbound)
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
        for _, session, deliveries in arrivals:
            session.answer([delivery.sequence for delivery in deliveries])
        return sum(map(len, receipts.values()))

    async def _replace_producer(self) -> None:
        # The sequence of an idempotent producer that was refused has a hole: Kafka refuses all that follows.
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._producer.stop()
        self._producer = await _start_producer(self._settings)


async def _start_producer(settings: Settings) -> AIOKafkaProducer:
    return await start_client("receipts", lambda: make_producer(settings), AIOKafkaProducer.stop)


class DeliveryEncoder:
    """Encodes what an SMSC delivers to one route as records for Kafka."""

    def __init__(self, route: str, hash_key: bytes) -> None:
        self._route: Final = route
        self._hash: Final = number_hasher(hash_key)

    def encode(
        self,
        account: Account,
        deliveries: Sequence[Delivery],
        now: int,
        *,
        receipts: list[KeyValue],
        inbound: list[KeyValue],
    ) -> None:
        """Append a record for each delivery of an account to `receipts` or `inbound`.

        One that cannot be read is counted and dropped. `now` in milliseconds since the epoch.
        """
        parsed = []
        dropped: list[str] = []
        key = account.name.encode()
        unclassified = account.receipts_without_esm_class
        for delivery in deliveries:
            try:
                receipt = parse_receipt(delivery, unclassified)
                if receipt is not None:
                    parsed.append((receipt, delivery.source))
                elif is_phone_message(delivery):
                    message = read_inbound(delivery, self._route, account.name, now)
                    inbound.append((self._route.encode(), _ENCODE(message)))
                else:
                    dropped.append("a receipt that names no message")
            except (PduError, ValueError) as error:
                # It is answered like the others: sent again, it would be no better.
                dropped.append(str(error))
        if dropped:
            metrics.smpp_unexpected.labels(account.name, "delivery").inc(len(dropped))
            log.warning("deliveries_dropped", account=account.name, count=len(dropped), first_reason=dropped[0])
        latencies = [seconds_between(receipt.submitted, receipt.done) for receipt, _ in parsed]
        metrics.observe_batch(
            metrics.delivery_duration.labels(account.name), [seconds for seconds in latencies if seconds is not None]
        )
        ids = normalise_receipt_ids(
            [receipt.message_id for receipt, _ in parsed], account.message_id_rule, account.message_id_width
        )
        for (receipt, source), message_id in zip(parsed, ids, strict=True):
            receipts.append(
                (
                    key,
                    _ENCODE(
                        Receipt(
                            account.name,
                            message_id.decode("latin-1"),
                            receipt.receipt_state,
                            self._hash(source),
                            receipt.error,
                            0,
                            now,
                        )
                    ),
                )
            )


def partition_of_account(account: str, partitions: int) -> int:
    """The partition of an account's receipts: always the same, so that they keep their order."""
    return crc32(account.encode()) % partitions


def read_inbound(delivery: Delivery, route: str, account: str, now: int) -> Inbound:
    """A message from a phone, with its text decoded by data_coding (SMPP 3.4, 5.2.19).

    A user data header is left out. data_coding 0 is the SMSC's own alphabet, read as GSM 03.38, unpacked. `now` in
    milliseconds since the epoch.
    """
    data = delivery.text
    if delivery.esm_class & UDHI and data:
        data = data[data[0] + 1 :]
    match delivery.data_coding:
        case 8:
            text = ucs2.decode(data)
        case 1 | 3:
            text = data.decode("latin-1")
        case _:
            text = gsm.decode(data)
    return Inbound(route, account, _decode_address(delivery.source), _decode_address(delivery.destination), text, now)


def _decode_address(address: bytes) -> str:
    return address.decode("latin-1")
