"""Answers to submits, or their absence, as statuses and retries in the outbox; and how much is in doubt."""

import random
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Sequence
from typing import Final, TypeAlias

from aiokafka import TopicPartition

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from broadcast.pii import number_hasher
from broadcast.routing import Account, Route
from broadcast.sending.answers.sequel import (
    RETRIABLE,
    Sequel,
    choose_delay,
    decide,
    meaning_of_answer,
    next_job,
    outcome_of,
    reason_of,
    withdrawal_of,
)
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.answers.unanswered import Copy, Person, Unanswered
from broadcast.sending.outbox import BeatContent, Outbox, encode_status
from broadcast.sending.rules import JITTER_SHARE, UNANSWERED
from broadcast.smpp.codec.command_status import ROK, Follow, Meaning, OutcomeClass
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.message_ids import normalise_receipt_ids
from broadcast.smpp.codec.receipts import ReceiptContent, parse_receipt
from broadcast.smpp.window import Response
from schemas.job import HIGHEST_ATTEMPT, Job
from schemas.status import Outcome, Status
from schemas.topics import Names

Throttled: TypeAlias = tuple[Token, int]
"""A submit that was refused because of the rate, and its command_status."""


class Settlement:
    """Turns answers into outcomes for one route, and counts the submits that are in doubt.

    In doubt is a submit from its writing until a beat with its status is committed. `unanswered` has the recipients
    with a submit that nothing answered in time.
    """

    def __init__(self, route: Route, names: Names, hash_key: bytes, outbox: Outbox) -> None:
        self.set_accounts(route.accounts)
        self.unanswered: Final = Unanswered()
        self._throttled: Final[dict[str, deque[Throttled]]] = {}
        self._in_doubt = 0
        self._in_doubt_of: Final[dict[str, int]] = defaultdict(int)
        self._route: Final = route
        self._names: Final = names
        self._hash: Final = number_hasher(hash_key)
        self._outbox: Final = outbox
        self._random: Final = random.Random()  # noqa: S311 - spreads retries, keeps no secret

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        """The accounts of the route are these now: which of them may take what another refuses."""
        self._accounts = frozenset(account.name for account in accounts if account.weight)

    @property
    def in_doubt(self) -> int:
        """Submits that are written and whose status no committed beat carries."""
        return self._in_doubt

    def in_doubt_of(self, session: str) -> int:
        """Of these, the submits of one session."""
        return self._in_doubt_of.get(session, 0)

    def note_submitted(
        self, submission: Submission, offsets: Sequence[int], tokens: Sequence[Token], submits: int
    ) -> None:
        """These jobs, by the first token of each, were just written in so many submits."""
        submission.progress.take(offsets, tokens)
        self._in_doubt += submits
        self._in_doubt_of[submission.session] += submits
        self.unanswered.note_written(submission, tokens)

    def note_committed(self, content: BeatContent) -> None:
        """A beat with this content is committed."""
        self._in_doubt -= content.submits
        for session, submits in content.submits_of.items():
            self._in_doubt_of[session] -= submits
            if not self._in_doubt_of[session]:
                del self._in_doubt_of[session]
        if self.unanswered:
            self.unanswered.prune(epoch_milliseconds())

    def settle_many(self, responses: Sequence[Response[Token]], message_ids: Sequence[bytes], at: int) -> None:
        """Answers that came together; `message_ids` are theirs, normalised, `at` is milliseconds since the epoch.

        Nearly all of them are acceptances of jobs of one segment: these are settled here, without a call for each.
        """
        if self.unanswered:
            self.unanswered.note_answers(responses, message_ids)
        content, hash_number = self._outbox.content, self._hash
        accepted = Outcome.ACCEPTED
        counts: dict[Submission, int] = {}
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
            counts[submission] = counts.get(submission, 0) + 1
        for submission, count in counts.items():
            content.count_submits(submission.session, count)
            content.outcomes[submission.message.lane, accepted] += count

    def settle(self, token: Token, command_status: int, message_id: str, at: int) -> bool:
        """One answer, or `UNANSWERED`; False when the job had its outcome before.

        A late answer is a status too: it replaces the unknown of the same submit, and the receipt of an acceptance
        needs an attempt that it belongs to.
        """
        if command_status and self._goes_again(token, command_status):
            self._throttled.setdefault(token[0].session, deque()).append((token, command_status))
            return True
        return self._settle(token, command_status, message_id, at)

    def _settle(self, token: Token, command_status: int, message_id: str, at: int) -> bool:
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
        self._outbox.content.count_submits(submission.session, len(answers))
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
                self._outbox.content.count_submits(submission.session, len(sent.answers))
                self._add_statuses(submission, job, offset, sent.all(), at)

    def throttled_of(self, session: str) -> "deque[Throttled] | None":
        """Submits that go again on a session before new jobs, oldest first; None when there are none."""
        return self._throttled.get(session) or None

    def retry_throttled(self, at: int, session: str | None = None) -> None:
        """Submits of a session that has ended, or of all, do not go again on it: each is a retry."""
        for name in tuple(self._throttled) if session is None else (session,):
            for token, command_status in self._throttled.pop(name, ()):
                self._settle(token, command_status, "", at)

    def keep_throttled(self, sessions: Container[str], at: int) -> None:
        """Only these sessions get work now: what others were throttled with is a retry."""
        for name in [name for name in self._throttled if name not in sessions]:
            self.retry_throttled(at, name)

    def end_throttled(self, throttled: Throttled, at: int) -> None:
        """One submit does not go again on its session, because of its alert: it is a retry, or has expired."""
        token, command_status = throttled
        self._settle(token, command_status, "", at)

    def _goes_again(self, token: Token, command_status: int) -> bool:
        submission, _, offset, _, _ = token
        meaning = meaning_of_answer(command_status, submission.account.command_status)
        return meaning.follow is Follow.SAME_SESSION and offset in submission.progress.pending

    def note_receipts(self, account: Account, deliveries: Sequence[Delivery], at: int) -> None:
        """Deliveries of an account: a receipt may answer a submit that nothing else has. Only while `unanswered`."""
        for delivery in deliveries:
            source = delivery.source.decode("latin-1")
            if not self.unanswered.awaits(account.name, source):
                continue
            try:
                receipt = parse_receipt(delivery, account.receipts_without_esm_class)
            except (PduError, ValueError):
                continue
            if receipt is not None:
                [message_id] = normalise_receipt_ids(
                    [receipt.message_id], account.message_id_rule, account.message_id_width
                )
                self._settle_by_receipt(account, source, receipt, message_id.decode("latin-1"), at)

    def _settle_by_receipt(
        self, account: Account, source: str, receipt: ReceiptContent, message_id: str, at: int
    ) -> None:
        claim = self.unanswered.claim(account.name, source, receipt, message_id, at)
        if claim is None:
            return
        person, copy, part = claim
        self._add_late((copy.submission, copy.job, copy.offset, None, part), (ROK, message_id), Outcome.ACCEPTED, at)
        self._note_accepted(person, copy, part)

    def _add_statuses(
        self,
        submission: Submission,
        job: Job,
        offset: int,
        answers: Sequence[tuple[int, str]],
        at: int,
    ) -> None:
        message = submission.message
        if submission.recorded_at:
            self._outbox.content.handovers[message.lane].append((at - submission.recorded_at) / 1000)
        if not any(command_status for command_status, _ in answers):
            for number, answer in zip(message.numbers, answers, strict=True):
                status = self._make_status(submission, job, number, answer, outcome=Outcome.ACCEPTED, at=at)
                self._outbox.add_status(status, message.lane)
            return
        meanings, sequel = self._decide(submission, job, answers)
        for number, answer, meaning in zip(message.numbers, answers, meanings, strict=True):
            outcome = outcome_of(meaning, sequel)
            status = self._make_status(submission, job, number, answer, outcome=outcome, at=at)
            self._outbox.add_status(status, message.lane)
        if any(meaning.outcome_class is OutcomeClass.UNKNOWN for meaning in meanings):
            self._note_unknown(submission, job, offset, answers, meanings)
        if sequel.held:
            submission.held.add(offset)
            if any(meaning.follow in RETRIABLE for meaning in meanings):
                reason = "a segment was not answered, and is not sent again"
                self._outbox.add_unsent([job], Outcome.UNKNOWN, reason, message.lane, at)
        elif sequel.follow is not Follow.NOTHING:
            retried = self._retry(submission, job, sequel, meanings, at)
            if sequel.follow is Follow.RESEND and not retried:
                submission.held.add(offset)

    def _decide(
        self, submission: Submission, job: Job, answers: Sequence[tuple[int, str]]
    ) -> tuple[list[Meaning], Sequel]:
        message, account = submission.message, submission.account
        meanings = [meaning_of_answer(command_status, account.command_status) for command_status, _ in answers]
        sequel = decide(
            job,
            list(zip(message.numbers, meanings, strict=True)),
            total=message.total,
            resend_limit=account.resend_unanswered.of(message.lane),
            elsewhere=not self._accounts <= {account.name, *job.refused_by},
        )
        return meanings, sequel

    def _note_unknown(
        self,
        submission: Submission,
        job: Job,
        offset: int,
        answers: Sequence[tuple[int, str]],
        meanings: Sequence[Meaning],
    ) -> None:
        classes = [meaning.outcome_class for meaning in meanings]
        unanswered = {part for part, each in enumerate(classes) if each is OutcomeClass.UNKNOWN}
        missing = {part for part, each in enumerate(classes) if each is not OutcomeClass.ACCEPTED}
        ids = [message_id for _, message_id in answers if message_id]
        self.unanswered.add(Copy(submission, job, offset, unanswered, missing), ids)

    def _retry(self, submission: Submission, job: Job, sequel: Sequel, meanings: Sequence[Meaning], at: int) -> bool:
        message = submission.message
        delay = choose_delay(self._route.delays_seconds, job, sequel, meanings)
        due_at = at + int(delay * 1000 * (1 + self._random.uniform(0, JITTER_SHARE)))
        following = next_job(job, sequel, account=submission.account.name, session=submission.session, due_at=due_at)
        if due_at < message.control.expires_at and following.attempt < HIGHEST_ATTEMPT:
            to = TopicPartition(self._names.delay(self._route.name, message.lane, delay), submission.partition)
            self._outbox.add_retry(following, to)
            if sequel.follow is Follow.RESEND:
                metrics.resends.labels(message.lane.value).inc()
            if self.unanswered:
                self.unanswered.note_retry(following, to)
            return True
        if any(meaning.follow in RETRIABLE for meaning in meanings):
            self._outbox.add_unsent([following], Outcome.EXPIRED, "expires before the next attempt", message.lane, at)
        return False

    def _settle_late(self, token: Token, command_status: int, message_id: str, at: int) -> None:
        if command_status == UNANSWERED:
            return
        submission, job, offset, _, part = token
        found = self.unanswered.find(submission, job, offset)
        if found is not None and part not in found[1].unanswered:
            # A receipt has answered it.
            return
        answer = command_status, message_id
        meaning = meaning_of_answer(command_status, submission.account.command_status)
        if found is not None:
            found[1].unanswered.discard(part)
        if offset in submission.held:
            self._settle_held(token, answer, meaning, at)
        elif meaning.follow is not Follow.RESEND:
            # A resend is on its way, or was written: what the SMSC refused at first is tried by it.
            self._add_late(token, answer, outcome_of(meaning, Sequel(Follow.RESEND)), at)
        if found is not None and meaning.outcome_class is OutcomeClass.ACCEPTED:
            self._note_accepted(*found, part)

    def _settle_held(self, token: Token, answer: tuple[int, str], meaning: Meaning, at: int) -> None:
        """Settle a late answer to a job that is not sent again.

        When all its segments have one, what was refused for now is tried again. Until then such a segment stays
        unknown: a new copy would send the others again.
        """
        submission, job, offset, sent, part = token
        answers = [answer]
        if sent is not None:
            sent.add(part, answer)
            answers = sent.all()
        if any(command_status == UNANSWERED for command_status, _ in answers):
            if meaning.follow is Follow.NOTHING:
                self._add_late(token, answer, outcome_of(meaning, Sequel()), at)
            return
        meanings, sequel = self._decide(submission, job, answers)
        for each, (number_answer, each_meaning) in enumerate(zip(answers, meanings, strict=True)):
            if each_meaning.follow in RETRIABLE or each == part:
                written = (submission, job, offset, sent, each)
                self._add_late(written, number_answer, outcome_of(each_meaning, sequel), at)
        if sequel.follow is not Follow.NOTHING:
            submission.held.discard(offset)
            self._retry(submission, job, sequel, meanings, at)

    def _add_late(self, token: Token, answer: tuple[int, str], outcome: Outcome, at: int) -> None:
        submission, job, _, _, part = token
        number = submission.message.numbers[part]
        status = self._make_status(submission, job, number, answer, outcome=outcome, at=at, late=True)
        self._outbox.add_status(status, None)

    def _note_accepted(self, person: Person, copy: Copy, part: int) -> None:
        """A part of an unanswered copy is accepted; if that makes it whole, the next attempt is withdrawn."""
        copy.unanswered.discard(part)
        copy.missing.discard(part)
        if copy.missing:
            return
        retry = person.take_retry()
        if retry is not None:
            job, to = retry
            self.unanswered.withdraw(job)
            self._outbox.add_retry(withdrawal_of(job), to)
            metrics.resends_withdrawn.labels(copy.submission.message.lane.value).inc()

    def _make_status(
        self,
        submission: Submission,
        job: Job,
        number: int,
        answer: tuple[int, str],
        *,
        outcome: Outcome,
        at: int,
        late: bool = False,
    ) -> Status:
        command_status, message_id = answer
        return Status(
            job.alert_id,
            job.recipient_id,
            job.attempt,
            outcome,
            number,
            submission.message.total,
            submission.account.name,
            message_id,
            self._hash(job.msisdn.encode()),
            max(command_status, 0),
            reason_of(command_status, submission.account.command_status),
            submission.at,
            at,
            job.possible_duplicate,
            late,
            submission.message.total > 1 and submission.account.receipt_covers == "message",
        )
