"""Faust's aiokafka transport, changed so that a stage can be exactly-once (`docs/adr/0001`).

The consumer reads only what was committed, and committing does nothing: the position lives in our transactions. The
names that are overridden here are private to Faust; `tests/contract/faust/test_faust_envelope.py` holds the pinned
version to them.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver

from broadcast.kafka.clients import make_consumer
from broadcast.kafka.events import group_of, instance_of
from broadcast.settings import Settings

HOLD_LIMIT_MS = 2**31 - 1
"""Longest time without a poll: an event may wait for a database without limit, and fencing does not rest on this."""

POSITIONS_LIMIT_SECONDS = HOLD_LIMIT_MS / 1000
"""Longest wait for the positions of what was assigned: Kafka may be away without limit just then."""

POLL_RECORDS = 16
"""Most events of one poll. Faust polls no more of a partition once its stream is four fifths full, but what was polled
waits for room, and every other topic with it, the urgent ones too: a fifth has to hold a poll of each partition."""

STOP_BUDGET_SECONDS = 5.0
"""From the wish to stop to its end: an event in hand takes well under a second, unless what it waits for is away."""


# Faust names a subclass's logger after its module, and its steps at INFO are of no use to an operator.
logging.getLogger(__name__).setLevel(logging.WARNING)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Makes the consumer that every stage has, in place of Faust's, which reads uncommitted and waits 1.5 s."""

    def _create_worker_consumer(self, transport: "Transport") -> AIOKafkaConsumer:
        conf = self.app.conf
        return make_consumer(
            transport.app.settings,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            # A group that never committed begins at the beginning. The position, which decides, is read elsewhere.
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=HOLD_LIMIT_MS,
        )


class Consumer(driver.Consumer):
    """A consumer that never commits: Faust's own commits stop at the first gap that a transaction leaves."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Forget what was acknowledged, which Faust otherwise keeps until it is committed."""
        for tracked in (self._acked, self._acked_index, self._gap):
            tracked.clear()
        return True

    def backlog(self, ends: Mapping[TopicPartition, int]) -> Counter[str]:
        """Records that are not done, in hand or not yet fetched, by topic.

        `ends` are those of the logs as they were asked for: what a fetch has told last is old while nothing is fetched.
        """
        waiting = Counter(message.topic for message in self.unacked)
        for partition, state, position in self._states():
            end = max(state.highwater or 0, ends.get(partition, 0))
            waiting[partition.topic] += max(0, end - position)
        return waiting

    def went_back(self) -> dict[TopicPartition, int]:
        """Partitions that are read again from before the last event that was read; the offset of that.

        aiokafka begins anew where Kafka has lost the end, and Faust passes over what it has read. A seek of Faust's own
        moves both, one after the other.
        """
        read = ((partition, position, self._read_offset.get(partition)) for partition, _, position in self._states())
        return {partition: offset for partition, position, offset in read if offset is not None and position < offset}

    def _states(self) -> Iterator[tuple[TopicPartition, Any, int]]:
        # The consumer works in a thread of its own: what it knows may change between any two looks.
        consumer = self._thread._consumer
        for partition in consumer.assignment() if consumer is not None else ():
            state = consumer.state(partition)
            position = None if state is None else state._position
            if position is not None:
                yield partition, state, position


class Transport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = Consumer


class Boot(BootStrategy):
    """What Faust starts: no producer (our transactions are the only ones that write) and no web server."""

    enable_kafka_producer = False
    enable_web = False


class App(faust.App):
    """A Faust app on our transport. `settings` are ours; Faust's are `conf`."""

    BootStrategy = Boot

    def __init__(self, settings: Settings, stage: str) -> None:
        self.settings = settings
        super().__init__(group_of(settings, stage), **options_of(settings, stage))

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def backlog(self, ends: Mapping[TopicPartition, int]) -> Counter[str]:
        """Records that this process is to do, by topic; `ends` are those of the logs."""
        consumer: Consumer = self.consumer
        return consumer.backlog(ends)

    def went_back(self) -> dict[TopicPartition, int]:
        """Partitions that are read again from before the last event that was read; the offset of that."""
        consumer: Consumer = self.consumer
        return consumer.went_back()

    def _create_directories(self) -> None:
        """None: directories are for tables, and there are none."""


def options_of(settings: Settings, stage: str) -> Mapping[str, Any]:
    """Faust's settings, each with its reason."""
    return {
        "broker": [f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        # Static membership: a worker that comes back takes its partitions up again and disturbs nobody.
        "consumer_group_instance_id": instance_of(settings, stage),
        # Faust's 60 s would leave the partitions of a worker that stays away alone for a minute.
        "broker_session_timeout": settings.session_timeout_seconds,
        # Two workers that start together stand still for three heartbeats.
        "broker_heartbeat_interval": settings.heartbeat_interval_seconds,
        # Our consumer has its own. Faust gives up reading positions after this, and then reads no event any more.
        "broker_request_timeout": POSITIONS_LIMIT_SECONDS,
        # Memory stays flat: events wait on the broker, not here.
        "stream_buffer_maxsize": POLL_RECORDS * 5 * settings.expansion_partitions,
        "broker_max_poll_records": POLL_RECORDS,
        # Rebalances wait for the event in hand, so that it is not begun twice.
        "stream_wait_empty": True,
        # Topics are made by `broadcast topics create`, with the right partitions and retention.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        # Values are bytes; what they hold is decided where a fault can become a dead letter.
        "key_serializer": "raw",
        "value_serializer": "raw",
        # Our logs and our health server are those of every stage.
        "web_enabled": False,
        "worker_redirect_stdouts": False,
        "loghandlers": [],
        # No discovery of modules: agents are made where they are used.
        "autodiscover": False,
    }
