"""Answers to submits, or their absence, as statuses and retries in the outbox; and how much is in doubt."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aiokafka import TopicPartition

from broadcast.pii import number_hasher
from broadcast.routing import Account, Route
from broadcast.sending.messages import Message
from broadcast.sending.outbox import BeatContent, Outbox, encode_status
from broadcast.sending.progress import Progress
from broadcast.sending.rules import (
    JITTER_SHARE,
    UNANSWERED,
    choose_delay,
    meaning_of_answer,
    outcome_of,
    reason_of,
    retry_job,
    wants_retry,
)
from broadcast.smpp.window import Response
from schemas.job import HIGHEST_ATTEMPT, Job
from schemas.status import Outcome, Status
from schemas.topics import Names


@dataclass(slots=True, eq=False)
class Submission:
    """Jobs of one partition with one message, written to one account at one instant.

    `at`, and `recorded_at` when the first job came to Kafka (0: not known), are milliseconds since the epoch. `held`
    are the offsets of jobs with an unanswered submit that is not sent again.
    """

    message: Message
    progress: "Progress[Token]"
    partition: int
    account: Account
    at: int
    recorded_at: int
    held: set[int] = field(default_factory=set)


class SegmentAnswers:
    """The answers so far to one job of several segments; its statuses go out together when all are there."""

    __slots__ = ("answers", "left")

    def __init__(self, segments: int) -> None:
        self.answers: Final[list[tuple[int, str] | None]] = [None] * segments
        self.left = segments

    def add(self, part: int, answer: tuple[int, str]) -> bool:
        """Keep the answer to a segment, a late one too; whether all segments have one."""
        if self.answers[part] is None:
            self.left -= 1
        self.answers[part] = answer
        return self.left == 0

    def all(self) -> list[tuple[int, str]]:
        """The answers of all segments, those that did not come as `UNANSWERED`."""
        return [answer or (UNANSWERED, "") for answer in self.answers]


Token: TypeAlias = tuple[Submission, Job, int, SegmentAnswers | None, int]
"""What identifies a submit until it is answered: submission, job, the job's offset; and for a job of several segments
the answers to all of them and the number of this one, from 0. A plain tuple, because one is made for every submit."""


class Settlement:
    """Turns answers into outcomes for one route, and counts the submits that are in doubt.

    In doubt is a submit from its writing until a beat with its status is committed.
    """

    def __init__(self, route: Route, names: Names, hash_key: bytes, outbox: Outbox) -> None:
        self._in_doubt = 0
        self._route: Final = route
        self._names: Final = names
        self._hash: Final = number_hasher(hash_key)
        self._outbox: Final = outbox
        self._random: Final = random.Random()  # noqa: S311 - spreads retries, keeps no secret

    @property
    def in_doubt(self) -> int:
        """Submits that are written and whose status no committed beat carries."""
        return self._in_doubt

    def note_submitted(
        self, submission: Submission, offsets: Sequence[int], tokens: Sequence[Token], submits: int
    ) -> None:
        """These jobs, by the first token of each, were just written in so many submits."""
        submission.progress.take(offsets, tokens)
        self._in_doubt += submits

    def note_committed(self, content: BeatContent) -> None:
        """A beat with this content is committed."""
        self._in_doubt -= content.submits

    def settle_many(self, responses: Sequence[Response[Token]], message_ids: Sequence[bytes], at: int) -> None:
        """Answers that came together; `message_ids` are theirs, normalised, `at` is milliseconds since the epoch.

        Nearly all of them are acceptances of jobs of one segment: these are settled here, without a call for each.
        """
        content, hash_number = self._outbox.content, self._hash
        accepted = Outcome.ACCEPTED
        counts: dict[Message, int] = {}
        for response, message_id in zip(responses, message_ids, strict=True):
            token, command_status, _, _ = response
            submission, job, offset, sent, _ = token
            if command_status or sent is not None or submission.progress.settle(offset) is None:
                self.settle(token, command_status, message_id.decode("latin-1"), at)
                continue
            message = submission.message
            status = Status(
                job.alert_id,
                job.recipient_id,
                job.attempt,
                accepted,
                message.numbers[0],
                message.total,
                submission.account.name,
                message_id.decode("latin-1"),
                hash_number(job.msisdn.encode()),
                0,
                "",
                submission.at,
                at,
                job.possible_duplicate,
            )
            content.statuses.append((b"%d" % job.recipient_id, encode_status(status)))
            if submission.recorded_at:
                content.handovers[message.lane].append((at - submission.recorded_at) / 1000)
            counts[message] = counts.get(message, 0) + 1
        for message, count in counts.items():
            content.submits += count
            content.outcomes[message.lane, accepted] += count

    def settle(self, token: Token, command_status: int, message_id: str, at: int) -> bool:
        """One answer, or `UNANSWERED`; False when the job had its outcome before.

        A late answer is a status too: it replaces the unknown of the same submit, and the receipt of an acceptance
        needs an attempt that it belongs to.
        """
        submission, job, offset, sent, part = token
        if sent is not None:
            if offset not in submission.progress.pending:
                self._settle_late(token, command_status, message_id, at)
                return False
            if not sent.add(part, (command_status, message_id)):
                return True
            answers: Sequence[tuple[int, str]] = sent.all()
        else:
            answers = ((command_status, message_id),)
        if submission.progress.settle(offset) is None:
            self._settle_late(token, command_status, message_id, at)
            return False
        self._outbox.content.submits += len(answers)
        self._add_statuses(submission, job, offset, answers, at)
        return True

    def settle_unanswered(self, tokens: Sequence[Token], at: int) -> None:
        """Submits whose answers can no longer come, or are overdue."""
        for token in tokens:
            self.settle(token, UNANSWERED, "", at)

    def give_up(self, tokens: Sequence[Token], at: int) -> None:
        """Wait no longer for these jobs, by the first token of each: what is unanswered is unknown."""
        for token in tokens:
            submission, job, offset, sent, _ = token
            if sent is None:
                self.settle(token, UNANSWERED, "", at)
            elif submission.progress.settle(offset) is not None:
                self._outbox.content.submits += len(sent.answers)
                self._add_statuses(submission, job, offset, sent.all(), at)

    def _add_statuses(
        self, submission: Submission, job: Job, offset: int, answers: Sequence[tuple[int, str]], at: int
    ) -> None:
        message = submission.message
        again: list[int] = []
        refused_for_now = unknown = False
        policy = submission.account.unknown_policy.of(message.lane) if any(status for status, _ in answers) else ""
        for number, answer in zip(message.numbers, answers, strict=True):
            status = self._make_status(submission, job, number, answer, at)
            self._outbox.add_status(status, message.lane)
            if wants_retry(status.outcome, policy):
                again.append(number)
                refused_for_now |= status.outcome is Outcome.REFUSED_FOR_NOW
                unknown |= status.outcome is Outcome.UNKNOWN
            elif status.outcome is Outcome.UNKNOWN:
                submission.held.add(offset)
        if submission.recorded_at:
            self._outbox.content.handovers[message.lane].append((at - submission.recorded_at) / 1000)
        if again:
            refusals = [status for status, _ in answers if status]
            retried = self._retry(
                submission, job, tuple(again), refusals, at, refused_for_now=refused_for_now, unknown=unknown
            )
            if unknown and not retried:
                submission.held.add(offset)

    def _retry(
        self,
        submission: Submission,
        job: Job,
        segments: tuple[int, ...],
        statuses: Sequence[int],
        at: int,
        *,
        refused_for_now: bool,
        unknown: bool,
    ) -> bool:
        message = submission.message
        delay = choose_delay(self._route.delays_seconds, job.attempt, statuses)
        due_at = at + int(delay * 1000 * (1 + self._random.uniform(0, JITTER_SHARE)))
        # One segment of one needs no list; the list is for those that were left over.
        wanted = () if message.total == 1 else segments
        following = retry_job(job, wanted, unknown=unknown, due_at=due_at)
        if due_at < message.control.expires_at and following.attempt < HIGHEST_ATTEMPT:
            topic = self._names.delay(self._route.name, message.lane, delay)
            self._outbox.add_retry(following, TopicPartition(topic, submission.partition))
            return True
        if refused_for_now:
            self._outbox.add_unsent([following], Outcome.EXPIRED, "expires before the next attempt", message.lane, at)
        return False

    def _settle_late(self, token: Token, command_status: int, message_id: str, at: int) -> None:
        if command_status == UNANSWERED:
            return
        submission, job, offset, _, part = token
        number = submission.message.numbers[part]
        status = self._make_status(submission, job, number, (command_status, message_id), at, late=True)
        self._outbox.add_status(status, None)
        if status.outcome is Outcome.REFUSED_FOR_NOW and offset in submission.held:
            self._retry(submission, job, (number,), [command_status], at, refused_for_now=True, unknown=False)

    def _make_status(
        self, submission: Submission, job: Job, number: int, answer: tuple[int, str], at: int, *, late: bool = False
    ) -> Status:
        command_status, message_id = answer
        own = submission.account.command_status
        return Status(
            job.alert_id,
            job.recipient_id,
            job.attempt,
            outcome_of(meaning_of_answer(command_status, own)),
            number,
            submission.message.total,
            submission.account.name,
            message_id,
            self._hash(job.msisdn.encode()),
            max(command_status, 0),
            reason_of(command_status, own),
            submission.at,
            at,
            job.possible_duplicate,
            late,
        )
