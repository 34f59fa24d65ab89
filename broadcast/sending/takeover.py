"""How a sender takes over the partitions that its group gives it, and how it ends its work on them."""

import asyncio
from typing import Final

import structlog
from aiokafka import TopicPartition

from broadcast.alarms import JOBS_DELETED_UNSENT, JOBS_LOST_THEIR_TAIL
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.fencing import fence_owners, find_offsets
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import Position, cut_to_beginning, cut_to_end, fresh_position
from broadcast.sending.answers.tokens import Token
from broadcast.sending.beat import SLOW_SECONDS
from broadcast.sending.membership import Connections, Membership
from broadcast.sending.progress import Progress
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.rules import longest_wait_ms
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Source, Sources
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 2.0
"""What an SMSC has not answered by then is unknown: a stop must not wait for it without limit."""

DRAIN_STEP_SECONDS: Final = 0.02


class Takeover:
    """Takes over the partitions that the group has given to this sender; `sources` are those it has taken over."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        membership: Membership,
        lease: Lease,
        events: SenderEvents,
    ) -> None:
        self.sources: Final[dict[TopicPartition, Source[Token]]] = {}
        self._settings: Final = settings
        self._identity: Final = connections.identity
        self._clients: Final = connections.clients
        self._membership: Final = membership
        self._lease: Final = lease
        self._events: Final = events

    async def take_over(self, generation: int) -> bool:
        """Fence who had the partitions, read their positions, make their sources, begin the lease.

        False when there are none, or the group has given others meanwhile.
        """
        partitions = self._membership.partitions
        if not partitions:
            return False
        consumer, identity = self._clients.consumer, self._identity
        positions, asked_at = await fence_owners(
            self._settings, self._clients.admin, identity.group, partitions, identity.owner
        )
        beginnings = await find_offsets(consumer.beginning_offsets, list(positions))
        ends = await find_offsets(consumer.end_offsets, list(positions))
        # No await from here to the sources: what is read meanwhile would belong to neither generation.
        if generation != self._membership.generation:
            return False
        for partition, position in positions.items():
            found = self._cut_to_log(partition, position, beginnings[partition], ends[partition])
            consumer.seek(partition, found.offset)
            progress: Progress[Token] = Progress(found, identity.owner)
            wait_ms = longest_wait_ms(identity.delays.get(partition.topic, 0))
            lane, log_end = identity.lanes[partition.topic], ends[partition]
            self.sources[partition] = Source(partition, lane, progress, wait_ms, log_end)
        self._lease.renew(asked_at)
        return True

    def give_back(self) -> None:
        """A beat has given the positions up: no partition is held, and no lease."""
        self.sources.clear()
        self._lease.release()

    async def close_marks(self, generation: int) -> None:
        """After an idle beat's time, end the marking of possible duplicates at each log's present end.

        The owner before, if it still runs, learns of the fence at its next beat, and may write until then.
        """
        marked = [source for source in self.sources.values() if source.progress.marks_open]
        if not marked:
            return
        await self._membership.sleep(self._settings.idle_beat_seconds + SLOW_SECONDS)
        ends = await find_offsets(self._clients.consumer.end_offsets, [source.partition for source in marked])
        if generation == self._membership.generation:
            for source in marked:
                source.progress.close_marks(ends[source.partition])

    def _cut_to_log(self, partition: TopicPartition, position: Position | None, beginning: int, end: int) -> Position:
        # Jobs that came after Kafka lost its tail and before this takeover count as done: the sweep finds them queued.
        if position is None:
            return fresh_position(beginning)
        if position.offset < beginning:
            kind = JOBS_DELETED_UNSENT
        elif position.end > end:
            kind = JOBS_LOST_THEIR_TAIL
        else:
            return position
        detail = (
            f"the position is {position.offset} to {position.end}, and Kafka has {beginning} to {end}; look who is "
            "still queued, and alert them anew"
        )
        self._events.raise_alarm(kind, f"{partition.topic}/{partition.partition}", detail)
        return cut_to_end(cut_to_beginning(position, beginning), end)


async def drain(sources: Sources, settlement: Settlement) -> None:
    """Wait a little for answers, then settle what is unanswered as unknown."""
    progresses = [source.progress for source in sources.values()]
    deadline = monotonic() + DRAIN_SECONDS
    settlement.retry_throttled(epoch_milliseconds())
    while monotonic() < deadline and any(progress.unanswered() for progress in progresses):
        await asyncio.sleep(DRAIN_STEP_SECONDS)
        settlement.retry_throttled(epoch_milliseconds())
    for progress in progresses:
        settlement.give_up(progress.unanswered(), epoch_milliseconds())
