"""What the next beat carries, encoded at once so that nothing is held twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from broadcast.deadletters.writing import encode_letter
from broadcast.kafka.batches import KeyValue
from broadcast.sending.rules import outcome_of_unsent
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status

encode_status: Final = msgspec.json.Encoder().encode
_ENCODE: Final = encode_status


@dataclass(slots=True)
class BeatContent:
    """What one beat carries, and what it counts.

    `submits` counts the submits whose statuses are in it, `submits_of` those of each session, `handovers` has the
    seconds from a job's record to its outcome, `marked` counts possible duplicates.
    """

    statuses: list[KeyValue] = field(default_factory=list)
    retries: dict[TopicPartition, list[KeyValue]] = field(default_factory=lambda: defaultdict(list))
    deadletters: list[KeyValue] = field(default_factory=list)
    submits: int = 0
    submits_of: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    outcomes: dict[tuple[Lane, Outcome], int] = field(default_factory=lambda: defaultdict(int))
    handovers: dict[Lane, list[float]] = field(default_factory=lambda: defaultdict(list))
    marked: dict[Lane, int] = field(default_factory=lambda: defaultdict(int))

    def count_submits(self, session: str, submits: int) -> None:
        """Statuses of so many submits of a session are in it."""
        self.submits += submits
        self.submits_of[session] += submits

    def __bool__(self) -> bool:
        return bool(self.statuses or self.retries or self.deadletters)


class Outbox:
    """Collects the content of the next beat."""

    def __init__(self) -> None:
        self.content = BeatContent()

    def take(self) -> BeatContent:
        """Everything collected so far; what comes after goes into the beat after."""
        content, self.content = self.content, BeatContent()
        return content

    def add_status(self, status: Status, lane: Lane | None) -> None:
        """One status; without a lane it is not counted, because the job's outcome was counted before."""
        self.content.statuses.append((b"%d" % status.recipient_id, _ENCODE(status)))
        if lane is not None:
            self.content.outcomes[lane, status.outcome] += 1

    def add_unsent(self, jobs: Sequence[Job], outcome: Outcome, reason: str, lane: Lane, at: int) -> None:
        """Statuses of jobs that are not submitted, unknown where an earlier copy may have been; `at` in milliseconds.

        `at` counts since the epoch. Jobs are marked as possible duplicates before, by their source.
        """
        counts: dict[Outcome, int] = {}
        for job in jobs:
            said, why = outcome_of_unsent(job, outcome, reason)
            status = Status(
                job.alert_id,
                job.recipient_id,
                job.attempt,
                said,
                segment=0,
                reason=why,
                at=at,
                possible_duplicate=said is Outcome.UNKNOWN,
            )
            self.content.statuses.append((b"%d" % job.recipient_id, _ENCODE(status)))
            counts[said] = counts.get(said, 0) + 1
        for said, count in counts.items():
            self.content.outcomes[lane, said] += count

    def add_retry(self, job: Job, to: TopicPartition) -> None:
        """The next attempt at a job, on a delay topic."""
        self.content.retries[to].append((b"%d" % job.recipient_id, _ENCODE(job)))

    def add_dead_letter(self, record: "ConsumerRecord[bytes, bytes]", error: str) -> None:
        """A record that cannot be read, with the reason for people."""
        letter = encode_letter(record, topic=record.topic, partition=record.partition, stage="sender", error=error)
        self.content.deadletters.append(letter)
