"""The beat: statuses, retries, dead letters and positions in one transaction (design, section 5, Sender)."""

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import Position, write_metadata
from broadcast.sending.batches import send_records
from broadcast.sending.outbox import Parcel
from schemas.topics import Names

BATCH: Final = 1_500
"""Statuses appended before other work gets its turn: some milliseconds."""


class LeaseExpiredError(Exception):
    """The lease ran out before a commit: nothing may be committed any more."""


class BeatWriter:
    """Commits one beat after another; not two at a time."""

    def __init__(
        self, producer: AIOKafkaProducer, group: str, names: Names, status_partitions: int, lease: Lease
    ) -> None:
        self._producer: Final = producer
        self._group: Final = group
        self._names: Final = names
        self._lease: Final = lease
        self._partitions: Final = status_partitions
        self._turn: Final = count()

    async def commit(self, parcel: Parcel, positions: Mapping[TopicPartition, Position]) -> None:
        """One transaction; renews the lease. At least one position must be given.

        A KafkaError, `ProducerFenced` among them, or LeaseExpiredError: the beat has failed and the process must end.
        """
        offsets = {
            partition: OffsetAndMetadata(position.offset, write_metadata(position))
            for partition, position in positions.items()
        }
        producer = self._producer
        await producer.begin_transaction()
        futures = await self._send(parcel)
        # A commit does not look at what became of its batches: a refused one must stop it here.
        await asyncio.gather(producer.send_offsets_to_transaction(offsets, self._group), *futures)
        begun_at = monotonic()
        if not self._lease.held:
            raise LeaseExpiredError(f"the last beat succeeded more than {self._lease.seconds} s ago")
        await producer.commit_transaction()
        self._lease.renew(begun_at)

    async def _send(self, parcel: Parcel) -> list["asyncio.Future[Any]"]:
        now = epoch_milliseconds()
        producer, names = self._producer, self._names
        futures: list[asyncio.Future[Any]] = []
        for start in range(0, len(parcel.statuses), BATCH):
            partition = next(self._turn) % self._partitions
            records = parcel.statuses[start : start + BATCH]
            futures += await send_records(producer, names.statuses, partition, records, now)
        for (topic, partition), records in parcel.retries.items():
            futures += await send_records(producer, topic, partition, records, now)
        futures += await send_records(producer, names.deadletters, 0, parcel.deadletters, now)
        return futures
