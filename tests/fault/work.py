"""Does a stage hold unfinished work at this moment? Asked of Kafka and the evidence, not of the stage."""

import asyncio
from collections.abc import Iterable

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from broadcast.clock import monotonic
from broadcast.database import connect
from broadcast.kafka.clients import make_admin, make_consumer
from broadcast.settings import Settings
from schemas.lane import LANES
from schemas.topics import Names

DELAYS_SECONDS = (1, 2)
PARTITIONS = 4
LOOK_BUDGET_SECONDS = 10.0


class Work:
    """Looks for committed records that a stage has not finished. Ends of transactions take offsets and are no work."""

    def __init__(self, settings: Settings, names: Names, route: str) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        prefix = settings.topic_prefix
        jobs = [names.jobs(route, lane) for lane in LANES]
        jobs += [names.delay(route, lane, seconds) for lane in LANES for seconds in DELAYS_SECONDS]
        self._inputs: dict[str, tuple[str, list[TopicPartition]]] = {
            "planner": (f"{prefix}planner", [TopicPartition(names.alerts, 0)]),
            "expander": (f"{prefix}expander", _all(map(names.expansions, LANES), settings.expansion_partitions)),
            "sender": (f"{prefix}sender.{route}", _all(jobs, PARTITIONS)),
            "recorder": (
                "",
                _all([names.statuses], settings.status_partitions)
                + _all([names.receipts], settings.receipt_partitions),
            ),
        }

    async def holds(self, stage: str) -> bool:
        """True if there is a record on the stage's topics behind what it has committed (its evidence)."""
        group, partitions = self._inputs[stage]
        positions = await self._committed(group, partitions) if group else await self._recorded(partitions)
        return await self._has_record(positions)

    async def wait(self, stage: str, *, budget_seconds: float) -> bool:
        """Wait until the stage holds work; False if it did not within the budget."""
        deadline = monotonic() + budget_seconds
        while not await self.holds(stage):
            if monotonic() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    async def close(self) -> None:
        """Close the clients."""
        if self._consumer is not None:
            await self._consumer.stop()
        if self._admin is not None:
            await self._admin.close()

    async def _committed(self, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._admin is None:
            self._admin = make_admin(self._settings)
            await self._admin.start()
        found = await self._admin.list_consumer_group_offsets(group, partitions=partitions)
        return {tp: max(found[tp].offset, 0) if tp in found else 0 for tp in partitions}

    async def _recorded(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        connection: asyncpg.Connection = await connect(self._settings)
        try:
            rows = await connection.fetch(
                "SELECT DISTINCT ON (topic, partition) topic, partition, to_offset FROM evidence "
                "ORDER BY topic, partition, epoch DESC, from_offset DESC"
            )
        finally:
            await connection.close()
        found = {TopicPartition(row["topic"], row["partition"]): row["to_offset"] for row in rows}
        return {tp: found.get(tp, 0) for tp in partitions}

    async def _has_record(self, positions: dict[TopicPartition, int]) -> bool:
        if self._consumer is None:
            self._consumer = make_consumer(self._settings, fetch_max_wait_ms=10)
            await self._consumer.start()
        consumer = self._consumer
        ends = await consumer.end_offsets(list(positions))
        behind = [tp for tp, offset in positions.items() if offset < ends[tp]]
        if not behind:
            return False
        consumer.assign(behind)
        for tp in behind:
            consumer.seek(tp, positions[tp])
        async with asyncio.timeout(LOOK_BUDGET_SECONDS):
            while True:
                if await consumer.getmany(timeout_ms=20, max_records=1):
                    return True
                if all([await consumer.position(tp) >= ends[tp] for tp in behind]):
                    return False


def _all(topics: Iterable[str], partitions: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
