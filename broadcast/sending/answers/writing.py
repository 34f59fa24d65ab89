"""Statuses of jobs that were answered, and the attempts that follow, as they go into the outbox."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aiokafka import TopicPartition

from broadcast import metrics
from broadcast.clock import monotonic
from broadcast.pii import number_hasher
from broadcast.routing import Account, Route
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.contents import content_of
from broadcast.sending.answers.copies import Copy
from broadcast.sending.answers.sequel import (
    RETRIABLE,
    Sequel,
    choose_pause,
    decide,
    meaning_of_answer,
    next_job,
    outcome_of,
    reason_of,
)
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.answers.unanswered import Unanswered
from broadcast.sending.outbox import Outbox
from broadcast.sending.rules import JITTER_SHARE
from broadcast.smpp.codec.command_status import Follow, Meaning, OutcomeClass
from broadcast.text.counts import counted
from schemas.job import HIGHEST_ATTEMPT, Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names

_DOUBTFUL: Final = frozenset([OutcomeClass.UNKNOWN, OutcomeClass.FOR_NOW, OutcomeClass.THROTTLED])
"""Some SMSCs deliver what they have answered with a system error, or throttled."""


class AnswerWriter:
    """Writes the answers to jobs of one route into the outbox, with what follows them.

    It notes in `unanswered` which submits nothing answered, and which attempts follow those. `correction_ms` says what
    the wall clock lacks.
    """

    def __init__(self, route: Route, names: Names, hash_key: bytes, outbox: Outbox, unanswered: Unanswered) -> None:
        self.correction_ms: Callable[[], int] = int
        self.set_accounts(route.accounts)
        self._route: Final = route
        self._names: Final = names
        self._hash: Final = number_hasher(hash_key)
        self._outbox: Final = outbox
        self._unanswered: Final = unanswered
        self._breakers: Final[dict[str, Breaker]] = {}
        self._random: Final = random.Random()  # noqa: S311 - spreads retries, keeps no secret

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        """The accounts of the route are these now: which of them may take what another refuses."""
        self._accounts = frozenset(account.name for account in accounts if account.weight)

    def follow_refusals(self, account: str, breaker: Breaker) -> None:
        """Ask this breaker from now on whether its account refuses one message only, and whether it alone works."""
        self._breakers[account] = breaker

    def write(
        self,
        token: Token,
        answers: Sequence[tuple[int, str]],
        at: int,
        reason: str = "",
    ) -> Copy | None:
        """Write the statuses of one job, by the answers to all its segments, and what follows them.

        `reason` says why it counts as accepted, where no answer alone says so.
        The copy, if nobody knows of some of it whether the SMSC has it.
        """
        submission, job, offset, *_ = token
        message = submission.message
        if submission.recorded_at:
            self._outbox.content.handovers[message.lane].append((at - submission.recorded_at) / 1000)
        if not any(command_status for command_status, _ in answers):
            for number, answer in zip(message.numbers, answers, strict=True):
                status = self.make_status(
                    submission, job, number, answer, outcome=Outcome.ACCEPTED, at=at, reason=reason
                )
                self._outbox.add_status(status, message.lane)
            return None
        meanings, sequel = self.decide(submission, job, answers)
        for number, answer, meaning in zip(message.numbers, answers, meanings, strict=True):
            outcome = outcome_of(meaning, sequel)
            status = self.make_status(submission, job, number, answer, outcome=outcome, at=at)
            self._outbox.add_status(status, message.lane)
        copy = None
        if any(meaning.outcome_class in _DOUBTFUL for meaning in meanings):
            copy = self._unanswered.add(*_find_doubtful(token, answers, meanings))
        elif sequel.follow is not Follow.NOTHING:
            # The SMSC may still answer otherwise; one that gives an id with a refusal may have taken it.
            refused, ids = _find_doubtful(token, answers, meanings)
            if refused.refused:
                copy = self._unanswered.add(refused, ids)
            else:
                self._unanswered.add_plain(refused, at + int(submission.account.response_timeout_seconds * 1000))
        if sequel.held:
            submission.held.add(offset)
            if any(meaning.follow in RETRIABLE for meaning in meanings):
                reason = "a segment was not answered, and is not sent again"
                self._outbox.add_unsent([job], Outcome.UNKNOWN, reason, message.lane, at)
        elif sequel.follow is not Follow.NOTHING:
            retried = self.retry(submission, job, sequel, meanings, answers, at=at)
            if sequel.follow is Follow.RESEND and not retried:
                submission.held.add(offset)
        elif job.possible_duplicate and OutcomeClass.UNKNOWN not in {each.outcome_class for each in meanings}:
            self.note_refused_copy(job, message.lane, at)
        return copy

    def note_refused_copy(self, job: Job, lane: Lane, at: int) -> None:
        """Write that a possible duplicate is unknown: its refusal says nothing of the copy before; `at` in ms."""
        self._outbox.add_unsent([job], Outcome.REFUSED, "this copy was refused", lane, at)

    def decide(
        self, submission: Submission, job: Job, answers: Sequence[tuple[int, str]]
    ) -> tuple[list[Meaning], Sequel]:
        """What each answer means, and what follows all of them."""
        message, account = submission.message, submission.account
        meanings = [meaning_of_answer(command_status, account.command_status) for command_status, _ in answers]
        aimed = bool(message.control.account)
        blamed, elsewhere = aimed, False
        if not aimed and any(meaning.follow is Follow.OTHER_ACCOUNT for meaning in meanings):
            blamed = self._is_to_blame(job, account.name)
            only_account = account.name in self._breakers and self._breakers[account.name].only_account
            # What may be the account's fault waits for no other that does not work: this one may work again first.
            elsewhere = (blamed or not only_account) and not self._accounts <= {account.name, *job.refused_by}
            if elsewhere and job.refused_by == (account.name,):
                # The same account once more, because no other works: one of those may take it later.
                blamed = False
        sequel = decide(
            job,
            list(zip(message.numbers, meanings, strict=True)),
            total=message.total,
            resend_limit=0 if aimed else account.resend_unanswered.of(message.lane),
            elsewhere=elsewhere,
            blamed=blamed,
        )
        return meanings, sequel

    def _is_to_blame(self, job: Job, account: str) -> bool:
        """Whether the message is to blame, and not the account that has refused it, or those that have."""
        content, now = content_of(job), monotonic()
        if job.refused_by in {(), (account,)}:
            return account in self._breakers and self._breakers[account].contents.blames(content, now)
        refused_by = (self._breakers.get(name) for name in (account, *job.refused_by))
        return any(breaker is not None and breaker.contents.accepts_beside(content, now) for breaker in refused_by)

    def retry(
        self,
        submission: Submission,
        job: Job,
        sequel: Sequel,
        meanings: Sequence[Meaning],
        answers: Sequence[tuple[int, str]],
        *,
        at: int,
    ) -> bool:
        """Write the next attempt, or that it expires without one; whether there is one."""
        message = submission.message
        pauses = submission.account.pause_seconds
        least = max(pauses.get(command_status, 0) for command_status, _ in answers) if pauses else 0
        delay = choose_pause(self._route.delays_seconds, job, sequel, meanings, least=least)
        due_at = at + self.correction_ms() + int(delay * 1000 * (1 + self._random.uniform(0, JITTER_SHARE)))
        following = next_job(job, sequel, account=submission.account.name, session=submission.session, due_at=due_at)
        if due_at < message.control.expires_at and following.attempt < HIGHEST_ATTEMPT:
            to = TopicPartition(self._names.delay(self._route.name, message.lane, delay), submission.partition)
            self._outbox.add_retry(following, to)
            if sequel.follow is Follow.RESEND:
                metrics.resends.labels(message.lane.value).inc()
            if self._unanswered:
                self._unanswered.note_retry(following, to)
            return True
        if any(meaning.follow in RETRIABLE for meaning in meanings):
            last = following.attempt >= HIGHEST_ATTEMPT
            reason = f"it was tried {counted(job.attempt, 'time')}" if last else "expires before the next attempt"
            self._outbox.add_unsent([following], Outcome.EXPIRED, reason, message.lane, at)
        return False

    def make_status(
        self,
        submission: Submission,
        job: Job,
        number: int,
        answer: tuple[int, str],
        *,
        outcome: Outcome,
        at: int,
        late: bool = False,
        reason: str = "",
    ) -> Status:
        """The status of one segment, whose number in its text is `number`."""
        command_status, message_id = answer
        return Status(
            job.alert_id,
            job.recipient_id,
            job.attempt,
            outcome,
            segment=number,
            segments=submission.message.total,
            account=submission.account.name,
            message_id=message_id,
            number_hash=self._hash(job.msisdn.encode()),
            error=max(command_status, 0),
            reason=reason or reason_of(command_status, submission.account.command_status),
            submitted_at=submission.at,
            at=at,
            possible_duplicate=job.possible_duplicate,
            late=late,
            receipt_covers_message=submission.message.total > 1 and submission.account.receipt_covers == "message",
            bind=submission.bind,
        )


def _find_doubtful(
    token: Token, answers: Sequence[tuple[int, str]], meanings: Sequence[Meaning]
) -> tuple[Copy, list[str]]:
    """What of a copy the SMSC may have or lacks, and the message ids of its accepted parts."""
    classes = [meaning.outcome_class for meaning in meanings]
    unanswered = {part for part, each in enumerate(classes) if each is OutcomeClass.UNKNOWN}
    accepted = {part for part, each in enumerate(classes) if each is OutcomeClass.ACCEPTED}
    missing = {part for part, each in enumerate(meanings) if each.follow is not Follow.NOTHING}
    refused = {
        part: answers[part][1] for part in missing - unanswered if classes[part] in _DOUBTFUL or answers[part][1]
    }
    return Copy(token, unanswered, refused, missing), [answers[part][1] for part in sorted(accepted)]
