"""Topics whose readers wait for an open transaction: an alarm that says where, since when and for whom."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from broadcast.alarms import BY_RECORDER, OPEN_TRANSACTION, end_alarm, open_subjects, renew_alarm
from broadcast.clock import monotonic
from broadcast.kafka.open_transactions import LogEnd, Writer, open_log_ends
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 3.0
HELD_SECONDS: Final = 15.0
"""A last stable offset that stands still for so long is an alarm; ours take a second, or 5 s if a sender is frozen."""

TOPICS_MAX: Final = 20
"""Topics with an alarm of their own."""

PARTITIONS_MAX: Final = 5
"""Partitions that one alarm names."""


class Held(NamedTuple):
    """One partition that is held: where readers stand, how many offsets wait, and for how long it has been seen."""

    partition: TopicPartition
    stable: int
    waiting: int
    seconds: float


@dataclass(slots=True)
class HeldTopics:
    """Since when this sweeper has seen each last stable offset stand before the end of its log."""

    since: dict[tuple[TopicPartition, int], float] = field(default_factory=dict)
    looking_since: float | None = None

    def look(self, ends: Mapping[TopicPartition, LogEnd], now: float) -> list[Held]:
        """The partitions that have been held for `HELD_SECONDS`, those that are held longest first; pure."""
        if self.looking_since is None:
            self.looking_since = now
        behind = {(tp, one.stable): one.end - one.stable for tp, one in ends.items() if one.stable < one.end}
        self.since = {place: self.since.get(place, now) for place in behind}
        held = [Held(*place, behind[place], now - since) for place, since in self.since.items()]
        return sorted((one for one in held if one.seconds >= HELD_SECONDS), key=lambda one: (-one.seconds, one))

    def knows(self, now: float) -> bool:
        """Whether it has looked for long enough to say that a topic is not held."""
        return self.looking_since is not None and now - self.looking_since >= HELD_SECONDS


async def alarm_held_topics(
    connection: asyncpg.Connection, now: datetime, watch: HeldTopics, settings: Settings
) -> None:
    """Raise an alarm for each topic that is held, and end those of topics that are not; raises KafkaError."""
    async with open_log_ends(settings) as ends:
        held = watch.look(await ends.read(), monotonic())
        writers: dict[TopicPartition, Writer] = {}
        if held:
            try:
                writers = await ends.find_writers([one.partition for one in held])
            except KafkaError as error:
                log.warning("writers_not_found", error=repr(error))
    by_topic: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        by_topic[one.partition.topic].append(one)
    opened = await open_subjects(connection, OPEN_TRANSACTION)
    for topic, few in tuple(by_topic.items())[:TOPICS_MAX]:
        await renew_alarm(connection, OPEN_TRANSACTION, topic, describe(few, writers, now))
    if watch.knows(monotonic()):
        for topic in opened - by_topic.keys():
            await end_alarm(connection, OPEN_TRANSACTION, topic, BY_RECORDER)


def describe(held: Sequence[Held], writers: Mapping[TopicPartition, Writer], now: datetime) -> str:
    """What the alarm of one topic says of its held partitions."""
    parts = []
    for partition, stable, waiting, seconds in held[:PARTITIONS_MAX]:
        writer = writers.get(partition)
        who = "a producer that is not known" if writer is None else f"producer {writer.producer_id}"
        if writer is not None and writer.transactional_id is not None:
            who += f", transactional id {writer.transactional_id!r}"
        since = (now - timedelta(seconds=seconds)).isoformat("T", "seconds")
        parts.append(
            f"partition {partition.partition} at offset {stable} since {since}, {waiting:,} records wait ({who})"
        )
    if len(held) > PARTITIONS_MAX:
        parts.append(f"{len(held) - PARTITIONS_MAX} more partitions")
    return (
        f"Nothing is read of {held[0].partition.topic} behind a transaction that is open: {'; '.join(parts)}. Kafka "
        "aborts it after the time-out of its producer, a minute at most. If it stays or comes again, find that client "
        "and take its right to write away."
    )
