"""The beat: when it begins, and statuses, retries, dead letters and positions in one transaction."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.errors import FENCED_EXIT_CODE, LEASE_EXIT_CODE
from broadcast.kafka.batches import send_records
from broadcast.kafka.lease import Lease
from broadcast.kafka.position import Position, write_metadata
from broadcast.kafka.transactions import TransactionalProducer
from broadcast.sending.metrics import RouteMetrics
from broadcast.sending.outbox import BeatContent, Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Sources
from broadcast.settings import Settings
from schemas.topics import Names

SLOW_SECONDS: Final = 0.25
"""While a beat takes longer than this, nothing new is submitted."""

BATCH: Final = 1_500
"""Statuses for one partition before it is the next one's turn."""


class BeatSchedule:
    """When the next beat begins.

    Beats are about `busy_seconds` apart while there is something to commit, at once when asked, else `idle_seconds`.
    """

    def __init__(self, busy_seconds: float, idle_seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._busy: Final = busy_seconds
        self._idle: Final = idle_seconds
        self._clock: Final = clock
        self._wanted: Final = asyncio.Event()
        self._at_once: Final = asyncio.Event()
        self._began_at = clock()
        self._beating = False

    def want_beat(self) -> None:
        """There is something to commit."""
        self._wanted.set()

    def beat_now(self) -> None:
        """There is something to commit, and it is not to wait for `busy_seconds`."""
        self._wanted.set()
        self._at_once.set()

    async def wait(self, *, watchful: bool = False) -> bool:
        """Wait until a beat is to begin; False when there is nothing to commit.

        True `busy_seconds` after the last beat at the earliest, or at once after `beat_now`. False when an idle beat is
        due, and if `watchful` after `busy_seconds`.
        """
        idle = self._began_at + self._idle - self._clock()
        if not await _within(self._wanted, min(idle, self._busy) if watchful else idle):
            return False
        await _within(self._at_once, self._began_at + self._busy - self._clock())
        return True

    @property
    def idle(self) -> bool:
        """Whether a beat is due although there is nothing new to commit."""
        return self._clock() - self._began_at >= self._idle

    def begin(self) -> None:
        """A beat begins."""
        self._began_at = self._clock()
        self._beating = True

    def take(self) -> None:
        """The beat has its content: what is wanted from here on is for the next."""
        self._wanted.clear()
        self._at_once.clear()

    def end(self) -> None:
        """The beat is done."""
        self._beating = False

    @property
    def slow(self) -> bool:
        """Whether the beat under way has taken too long to write on."""
        return self._beating and self._clock() - self._began_at > SLOW_SECONDS


async def _within(event: asyncio.Event, seconds: float) -> bool:
    if event.is_set():
        return True
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class LeaseExpiredError(Exception):
    """The lease ran out before a commit: nothing may be committed any more."""


class Beats:
    """Commits one beat after another over the partitions in `sources`. Any failure ends the process."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        producer: TransactionalProducer,
        *,
        lease: Lease,
        schedule: BeatSchedule,
        sources: Sources,
        outbox: Outbox,
        settlement: Settlement,
        events: SenderEvents,
    ) -> None:
        self._producer: Final = producer
        self._group: Final = group
        self._names: Final = Names(settings.topic_prefix)
        self._status_partitions: Final = settings.status_partitions
        self._lease: Final = lease
        self._schedule: Final = schedule
        self._sources: Final = sources
        self._outbox: Final = outbox
        self._settlement: Final = settlement
        self._events: Final = events
        self._metrics: Final = RouteMetrics()
        self._turn = 0
        self._lock: Final = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """Whether a beat would commit anything new."""
        return bool(self._outbox.content) or any(source.progress.changed for source in self._sources.values())

    async def beat(self, *, everything: bool = False, release: bool = False) -> None:
        """Commit one beat, after the one under way: what was collected, and each partition that has changed.

        `everything` commits the positions of all partitions, `release` gives them up: nothing may be in doubt then.
        Without partitions there is nothing to commit, and statuses wait.
        """
        async with self._lock:
            self._schedule.begin()
            try:
                await self._beat(everything=everything or release, release=release)
            finally:
                self._schedule.end()

    async def _beat(self, *, everything: bool, release: bool) -> None:
        sources = list(self._sources.values())
        if not sources:
            return
        began_at = monotonic()
        with self._failure_ends_process():
            await self._producer.begin_transaction()
            # What is answered meanwhile still goes with this beat.
            await self._producer.enlist(self._group, [self._next] if self._outbox.content.statuses else [])
        self._schedule.take()
        content = self._outbox.take()
        # A commit needs a position, if only to say that this sender still owns it.
        changed = [source for source in sources if everything or source.progress.changed] or sources[:1]
        positions = {
            source.partition: source.progress.release() if release else source.progress.propose() for source in changed
        }
        with self._failure_ends_process():
            await self._commit(content, positions)
        for source in changed:
            source.progress.confirm()
        self._settlement.note_committed(content)
        self._metrics.report_beat(
            content, in_doubt=self._settlement.in_doubt, sources=sources, seconds=monotonic() - began_at
        )
        self._events.beat_committed()
        # What was in doubt is not any more, and need not wait for the markers: the next beat does.
        with self._failure_ends_process():
            await self._producer.confirm()

    @contextmanager
    def _failure_ends_process(self) -> Iterator[None]:
        try:
            yield
        except (ProducerFenced, InvalidProducerEpoch) as error:
            self._events.end_process(FENCED_EXIT_CODE, f"another sender has taken over: {error!r}")
            raise
        except (KafkaError, LeaseExpiredError) as error:
            self._events.end_process(LEASE_EXIT_CODE, f"a beat failed: {error!r}")
            raise

    async def _commit(self, content: BeatContent, positions: Mapping[TopicPartition, Position]) -> None:
        offsets = {
            partition: OffsetAndMetadata(position.offset, write_metadata(position))
            for partition, position in positions.items()
        }
        futures = await self._send(content)
        # A commit does not look at what became of its batches: a refused one must stop it here. Positions come after
        # them: a broker that verifies two writes of one transaction at once may refuse the first for now
        # (AddPartitionsToTxnManager), which aiokafka tries again 0.1 s later.
        await asyncio.gather(*futures)
        await self._producer.send_offsets_to_transaction(offsets, self._group)
        begun_at = monotonic()
        if not self._lease.held:
            raise LeaseExpiredError(f"the last beat succeeded more than {self._lease.seconds} s ago")
        await self._producer.note_commit()
        self._lease.renew(begun_at)

    async def _send(self, content: BeatContent) -> list["asyncio.Future[Any]"]:
        now = epoch_milliseconds()
        producer, names = self._producer, self._names
        futures: list[asyncio.Future[Any]] = []
        for start in range(0, len(content.statuses), BATCH):
            records = content.statuses[start : start + BATCH]
            futures += await send_records(producer, names.statuses, self._next.partition, records, now)
            self._turn += 1
        for (topic, partition), records in content.retries.items():
            futures += await send_records(producer, topic, partition, records, now)
        futures += await send_records(producer, names.deadletters, 0, content.deadletters, now)
        return futures

    @property
    def _next(self) -> TopicPartition:
        return TopicPartition(self._names.statuses, self._turn % self._status_partitions)
