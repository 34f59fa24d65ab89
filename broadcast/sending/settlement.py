"""Answers to submits, or their absence, as statuses and retries in the outbox; and how much is in doubt."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final

from broadcast.clock import epoch_milliseconds
from broadcast.pii import number_hasher
from broadcast.routing import Account, Route
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.answers.copies import Copy
from broadcast.sending.answers.early_receipts import EarlyReceipts, Pending
from broadcast.sending.answers.late import LateAnswers
from broadcast.sending.answers.throttled import DOUBTED_FROM, Throttled, ThrottledSubmits
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.answers.unanswered import Unanswered
from broadcast.sending.answers.writing import AnswerWriter
from broadcast.sending.control import ControlView
from broadcast.sending.outbox import BeatContent, Outbox, encode_status
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import ROK
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.window import Response
from schemas.status import Outcome, Status
from schemas.topics import Names


class Settlement:
    """Turns answers into outcomes for one route, and counts the submits that are in doubt.

    In doubt is a submit from its writing until a beat with its status is committed. `unanswered` has the recipients
    with a submit that nothing answered in time.
    """

    def __init__(self, route: Route, names: Names, hash_key: bytes, outbox: Outbox, view: ControlView) -> None:
        self.unanswered: Final = Unanswered(view)
        self.throttled: Final = ThrottledSubmits()
        self._in_doubt = 0
        self._in_doubt_of: Final[dict[str, int]] = defaultdict(int)
        self._hash: Final = number_hasher(hash_key)
        self._outbox: Final = outbox
        self._writer: Final = AnswerWriter(route, names, hash_key, outbox, self.unanswered)
        self._early: Final[dict[str, EarlyReceipts]] = {}
        self._late: Final = LateAnswers(self._writer, self.unanswered, outbox, self._early, self._settle_again)

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        """The accounts of the route are these now: which of them may take what another refuses."""
        self._writer.set_accounts(accounts)

    def correct_by(self, correction_ms: Callable[[], int]) -> None:
        """What is tried again, and whether in time, is decided by the wall clock with this correction."""
        self._writer.correction_ms = correction_ms

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
        self.throttled.prune()

    def settle_many(self, responses: Sequence[Response[Token]], message_ids: Sequence[bytes], at: int) -> None:
        """Answers that came together; `message_ids` are theirs, normalised, `at` is milliseconds since the epoch.

        Nearly all of them are acceptances of jobs of one segment: these are settled here, without a call for each.
        """
        if responses:
            self.unanswered.answered.note(responses[0][0][0].account.name, message_ids)
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
                segment=message.numbers[0],
                segments=message.total,
                account=submission.account.name,
                message_id=message_id.decode("latin-1"),
                number_hash=hash_number(job.msisdn.encode()),
                submitted_at=submission.at,
                at=at,
                possible_duplicate=job.possible_duplicate,
            )
            content.statuses.append((b"%d" % job.recipient_id, encode_status(status)))
            if submission.recorded_at:
                content.handovers[message.lane].append((at - submission.recorded_at) / 1000)
            counts[submission] = counts.get(submission, 0) + 1
        for submission, count in counts.items():
            content.count_submits(submission.session, count)
            content.outcomes[submission.message.lane, accepted] += count

    def settle(self, token: Token, command_status: int, message_id: str, at: int) -> None:
        """Settle one answer, or `UNANSWERED`.

        A late answer is a status too: it replaces the unknown of the same submit, and the receipt of an acceptance
        needs an attempt that it belongs to.
        """
        if not (command_status and self.throttled.add(token, command_status)):
            self._settle(token, command_status, message_id, at)
        elif message_id or self.throttled.writes(token) >= DOUBTED_FROM:
            copy = Copy(token, set(), {token[4]: message_id}, {token[4]})
            self._late.note_early(self.unanswered.add(copy, ()), at)

    def settle_second(self, tokens: Sequence[Token], message_ids: Sequence[bytes], at: int) -> None:
        """The SMSC accepts submits that it refused before; `message_ids` are theirs, normalised."""
        for token, message_id in zip(tokens, message_ids, strict=True):
            self._late.settle_second(token, message_id.decode("latin-1"), at)

    def take_contradictions(self, account: str) -> int:
        """How many submits an account has taken although it refused them, since the last call."""
        return self._late.contradictions.pop(account, 0) if self._late.contradictions else 0

    def _settle_again(self, token: Token, message_id: str, at: int, reason: str) -> None:
        """The SMSC has a submit that it throttled; another that is written already is a possible duplicate."""
        if not self.throttled.drop(token) or self.throttled.writes(token) > 1:
            token[1].possible_duplicate = True
        self._settle(token, ROK, message_id, at, reason)

    def _settle(self, token: Token, command_status: int, message_id: str, at: int, reason: str = "") -> None:
        submission, _, offset, sent, part = token
        if sent is not None:
            if offset not in submission.progress.pending:
                self._late.settle(token, command_status, message_id, at)
                return
            if not sent.add(part, (command_status, message_id)):
                return
            answers: Sequence[tuple[int, str]] = sent.all()
        else:
            answers = ((command_status, message_id),)
        if submission.progress.settle(offset) is None:
            self._late.settle(token, command_status, message_id, at)
            return
        self._outbox.content.count_submits(submission.session, len(answers))
        self._write(token, answers, at, reason)

    def _write(self, token: Token, answers: Sequence[tuple[int, str]], at: int, reason: str = "") -> None:
        copy = self._writer.write(token, answers, at, reason)
        if copy is not None:
            self._late.note_early(copy, at)

    def settle_unanswered(self, tokens: Sequence[Token], at: int) -> None:
        """Submits whose answers can no longer come, or are overdue."""
        for token in tokens:
            self.settle(token, UNANSWERED, "", at)

    def give_up(self, tokens: Sequence[Token], at: int) -> None:
        """Wait no longer for these jobs, by the first token of each: what is unanswered is unknown."""
        for token in tokens:
            submission, _, offset, sent, _ = token
            if sent is None:
                self.settle(token, UNANSWERED, "", at)
            elif submission.progress.settle(offset) is not None:
                self._outbox.content.count_submits(submission.session, len(sent.answers))
                self._write(token, sent.all(), at)

    def retry_throttled(self, at: int, session: str | None = None) -> None:
        """Submits of a session that has ended, or of all, do not go again on it: each is a retry."""
        for throttled in self.throttled.take(session):
            self.end_throttled(throttled, at)

    def keep_throttled(self, sessions: Container[str], at: int) -> None:
        """Only these sessions get work now: what others were throttled with is a retry."""
        for throttled in self.throttled.take_others(sessions):
            self.end_throttled(throttled, at)

    def end_throttled(self, throttled: Throttled, at: int) -> None:
        """One submit does not go again on its session, because of its alert: it is a retry, or has expired."""
        token, command_status = throttled
        self._settle(token, command_status, "", at)

    def follow_deliveries(self, account: str, pending: Pending) -> None:
        """Take deliveries of an account by `note_deliveries`; `pending` gives its submits without an answer."""
        early = self._early.get(account)
        if early is None:
            self._early[account] = EarlyReceipts(pending)
        else:
            # The binds before may still wait for answers, and what was kept may be all that tells of them.
            early.follow(pending)

    def follow_refusals(self, account: str, breaker: Breaker) -> None:
        """The breaker of an account: it says whether a message is to blame for a refusal, or the account."""
        self._writer.follow_refusals(account, breaker)

    def note_deliveries(self, account: Account, deliveries: Sequence[Delivery], at: int) -> None:
        """Deliveries that came together: a receipt may answer a submit that nothing else has, now or when given up."""
        if self.unanswered:
            self._late.note_receipts(account, deliveries, at)
        self._early[account.name].keep(deliveries, at)
