"""Answers that come after their submit was given up, and receipts that say more than the answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from broadcast import metrics
from broadcast.clock import monotonic
from broadcast.routing import Account
from broadcast.sending.answers.copies import Claim, Copy, Person
from broadcast.sending.answers.early_receipts import Arrived, EarlyReceipts
from broadcast.sending.answers.sequel import RETRIABLE, Sequel, meaning_of_answer, outcome_of, withdrawal_of
from broadcast.sending.answers.tokens import Token
from broadcast.sending.answers.unanswered import Unanswered
from broadcast.sending.answers.writing import AnswerWriter
from broadcast.sending.outbox import Outbox
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import ROK, Follow, Meaning, OutcomeClass
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.message_ids import normalise_receipt_ids
from broadcast.smpp.codec.receipts import parse_receipt
from schemas.status import Outcome

BY_RECEIPT: Final = "no answer; a receipt says that the SMSC has it"
BY_RECEIPT_THOUGH_REFUSED: Final = "refused for now; a receipt says that the SMSC has it all the same"
"""The reasons, for people, of acceptances that only a receipt tells."""

BY_SECOND_ANSWER: Final = "the SMSC refused it first and accepted it then"
"""The reason, for people, of an acceptance by a second answer to the same submit."""

SettleAgain: TypeAlias = Callable[[Token, str, int, str], None]
"""Settles an acceptance: the submit, its message id, the instant in milliseconds since the epoch, the reason."""

LOOK_SECONDS: Final = 0.05
"""For all receipts that came together: what is not looked at settles nothing, and at worst a copy too many is sent."""

RECEIPTS_LIMIT: Final = 100
"""Receipts from one number that are looked at together; so many say nothing about one submit, and take long to read."""


class LateAnswers:
    """Settles what was unknown before, and withdraws the attempt that was to follow.

    `early` has by account what it delivered while submits had no answer. `settle_again` settles an acceptance of a
    submit that has no outcome, because it goes again on its session. `contradictions` are by account the submits that
    the SMSC has although it refused them.
    """

    def __init__(
        self,
        writer: AnswerWriter,
        unanswered: Unanswered,
        outbox: Outbox,
        early: Mapping[str, EarlyReceipts],
        settle_again: SettleAgain,
    ) -> None:
        self._writer: Final = writer
        self._unanswered: Final = unanswered
        self._outbox: Final = outbox
        self._early: Final = early
        self._settle_again: Final = settle_again
        self.contradictions: Final[Counter[str]] = Counter()

    def settle(self, token: Token, command_status: int, message_id: str, at: int) -> None:
        """Settle an answer to a submit whose job had its outcome before; `UNANSWERED` changes nothing."""
        if command_status == UNANSWERED:
            return
        submission, job, offset, _, part = token
        found = self._unanswered.find(submission, job, offset)
        if found is not None and part not in found[1].unanswered:
            # A receipt has answered it.
            return
        if command_status != ROK and self._unanswered.is_settled(job):
            # It was written again before the SMSC said that it has the first.
            return
        answer = command_status, message_id
        meaning = meaning_of_answer(command_status, submission.account.command_status)
        if found is not None:
            found[1].unanswered.discard(part)
            if meaning.outcome_class is OutcomeClass.FOR_NOW:
                found[1].refused[part] = message_id
        if offset in submission.held:
            self._settle_held(token, answer, meaning, at)
        elif meaning.follow is not Follow.RESEND:
            # A resend is on its way, or was written: what the SMSC refused at first is tried by it.
            self._add_late(token, answer, outcome_of(meaning, Sequel(Follow.RESEND)), at)
        if found is not None and meaning.follow is Follow.NOTHING:
            self._note_final(*found, part)

    def settle_second(self, token: Token, message_id: str, at: int) -> None:
        """Settle an acceptance of a submit that the SMSC refused before."""
        submission, job, offset, _, part = token
        found = self._unanswered.find_attempt(job)
        if found is None:
            copy = Copy(token, set(), {}, {part})
            found = Person((job.alert_id, job.recipient_id), 0), copy
            if offset in submission.progress.pending:
                # Written again because of the rate, perhaps: what that is answered with says less.
                self._unanswered.add(copy, ())
        self._settle_taken(Claim(*found, part), message_id, at, BY_SECOND_ANSWER)

    def note_receipts(self, account: Account, deliveries: Sequence[Delivery], at: int) -> None:
        """Deliveries of an account that came just now: a receipt may answer a submit that was given up."""
        self._note_arrived(account, (Arrived(at, delivery) for delivery in deliveries), at)

    def note_early(self, copy: Copy, at: int) -> None:
        """A copy was given up just now: receipts that came before that may answer its submits."""
        account = copy.submission.account
        early = self._early.get(account.name)
        if early is not None:
            self._note_arrived(account, early.find(copy.job.msisdn.lstrip("+")), at)

    def _note_arrived(self, account: Account, arrivals: Iterable[Arrived], at: int) -> None:
        looked_at: Counter[str] = Counter()
        until = monotonic() + LOOK_SECONDS
        for arrived_at, delivery in arrivals:
            source = delivery.source.decode("latin-1")
            if looked_at[source] >= RECEIPTS_LIMIT or not self._unanswered.awaits(account.name, source):
                continue
            looked_at[source] += 1
            if monotonic() >= until:
                return
            try:
                receipt = parse_receipt(delivery, account.receipts_without_esm_class)
            except (PduError, ValueError):
                continue
            if receipt is not None:
                [message_id] = normalise_receipt_ids(
                    [receipt.message_id], account.message_id_rule, account.message_id_width
                )
                claim = self._unanswered.claim(account.name, source, receipt, message_id.decode("latin-1"), arrived_at)
                if claim is not None:
                    self._settle_by_receipt(claim, message_id.decode("latin-1"), at)

    def _settle_by_receipt(self, claim: Claim, message_id: str, at: int) -> None:
        if claim.part in claim.copy.refused:
            self._settle_taken(claim, message_id, at, BY_RECEIPT_THOUGH_REFUSED)
        else:
            self._settle_late(claim, message_id, at, BY_RECEIPT)

    def _settle_taken(self, claim: Claim, message_id: str, at: int, reason: str) -> None:
        """Settle what the SMSC has although it refused it."""
        person, copy, part = claim
        submission, job, offset, sent, _ = copy.token
        self.contradictions[submission.account.name] += 1
        if person.written is not None:
            # The phone gets both, and nobody knew it when the later one was written.
            job.possible_duplicate = person.written.possible_duplicate = True
        elif person.accepted or (person.retry is not None and person.retry.moved):
            # It was accepted when it was written again; or the other route may have written it.
            job.possible_duplicate = True
        if offset in submission.progress.pending:
            self._settle_again((submission, job, offset, sent, part), message_id, at, reason)
            self._note_final(person, copy, part)
        else:
            self._settle_late(claim, message_id, at, reason)

    def _settle_late(self, claim: Claim, message_id: str, at: int, reason: str) -> None:
        person, copy, part = claim
        submission, job, offset, sent, _ = copy.token
        token, answer = (submission, job, offset, sent, part), (ROK, message_id)
        if offset in submission.held:
            self._settle_held(token, answer, meaning_of_answer(ROK, {}), at, reason)
        else:
            self._add_late(token, answer, Outcome.ACCEPTED, at, reason)
        self._note_final(person, copy, part)

    def _settle_held(self, token: Token, answer: tuple[int, str], meaning: Meaning, at: int, reason: str = "") -> None:
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
                self._add_late(token, answer, outcome_of(meaning, Sequel()), at, reason)
            return
        meanings, sequel = self._writer.decide(submission, job, answers)
        for each, (number_answer, each_meaning) in enumerate(zip(answers, meanings, strict=True)):
            if each_meaning.follow in RETRIABLE or each == part:
                written = (submission, job, offset, sent, each)
                why = reason if each == part else ""
                self._add_late(written, number_answer, outcome_of(each_meaning, sequel), at, why)
        if sequel.follow is not Follow.NOTHING:
            submission.held.discard(offset)
            self._writer.retry(submission, job, sequel, meanings, answers, at=at)

    def _add_late(self, token: Token, answer: tuple[int, str], outcome: Outcome, at: int, reason: str = "") -> None:
        submission, job, _, _, part = token
        number = submission.message.numbers[part]
        status = self._writer.make_status(
            submission, job, number, answer, outcome=outcome, at=at, late=True, reason=reason
        )
        self._outbox.add_status(status, None)
        if outcome is Outcome.REFUSED and job.possible_duplicate:
            self._writer.note_refused_copy(job, submission.message.lane, at)

    def _note_final(self, person: Person, copy: Copy, part: int) -> None:
        """A part of a copy is accepted, or refused for good; with the last one the resend is withdrawn."""
        copies = person.copies_of(copy.job) or [copy]
        for each in copies:
            each.note_final(part)
        if any(each.missing for each in copies):
            return
        retry = person.take_retry()
        if retry is not None:
            if not retry.moved:
                self._unanswered.withdraw(retry.job)
            self._outbox.add_retry(withdrawal_of(retry.job), retry.to)
            metrics.resends_withdrawn.labels(copy.submission.message.lane.value).inc()
