"""The messages of which nobody knows whether the SMSC has them, until a late answer or a receipt tells it.

Nothing has answered them, or the SMSC refused them so that they are written again, which some do although they have
taken them. Empty in normal operation: nothing here is asked for a submit that is accepted in time.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from aiokafka import TopicPartition

from broadcast.sending.answers.answered_ids import AnsweredIds
from broadcast.sending.answers.copies import Claim, Copy, Person, Retry
from broadcast.sending.answers.receipt_match import fits, says_taken
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.answers.written_alerts import WrittenAlerts
from broadcast.sending.control import ControlView
from broadcast.smpp.codec.command_status import ROK
from broadcast.smpp.codec.receipts import ReceiptContent
from broadcast.smpp.window import Response
from schemas.job import Job

PEOPLE_LIMIT: Final = 20_000
"""Recipients kept; beyond it the oldest are forgotten, and their resends are not withdrawn."""

PLAIN_LIMIT: Final = 2_000
"""Of these, those that were refused without any doubt: only a second answer, which comes soon, could say otherwise."""

WITHDRAWN_LIMIT: Final = 100_000

JobKey: TypeAlias = tuple[str, int, int]
"""Alert, recipient and attempt: one job."""

Number: TypeAlias = tuple[str, str]
"""Account, and a number without its plus sign."""


def key_of(job: Job) -> JobKey:
    """The key of a job, or of the one that a record withdraws."""
    return job.alert_id, job.recipient_id, job.attempt


class Unanswered:
    """Recipients with a submit of which nobody knows, by alert and recipient, and by account and number."""

    def __init__(self, view: ControlView) -> None:
        self.alerts: Final = WrittenAlerts(view)
        self.answered: Final = AnsweredIds()
        self.people: Final[dict[tuple[str, int], Person]] = {}
        self.withdrawn: Final[dict[JobKey, None]] = {}
        self._numbers: Final[dict[Number, list[Person]]] = {}
        # Of people whose refusals leave no doubt: until when they are kept, in milliseconds since the epoch.
        self._plain: Final[dict[tuple[str, int], int]] = {}

    def __bool__(self) -> bool:
        return bool(self.people)

    def add(self, copy: Copy, ids: Iterable[str]) -> Copy:
        """A copy of which nobody knows whether the SMSC has it; `ids` are those of its accepted parts."""
        key = copy.job.alert_id, copy.job.recipient_id
        person = self.people.get(key)
        if person is None:
            while len(self.people) >= PEOPLE_LIMIT:
                self._forget(next(iter(self.people.values())))
            person = self.people[key] = Person(key, copy.submission.message.control.expires_at)
        person.copies.append(copy)
        person.ids.update(ids)
        self._plain.pop(key, None)
        people = self._numbers.setdefault(_number_of(copy), [])
        if person not in people:
            people.append(person)
        return copy

    def add_plain(self, copy: Copy, until: int) -> None:
        """A copy that the SMSC refused without any doubt, and that is written again; kept until then at most."""
        key = copy.job.alert_id, copy.job.recipient_id
        known = key in self.people and key not in self._plain
        self.add(copy, ())
        if not known:
            self._plain[key] = until
            if len(self._plain) > PLAIN_LIMIT:
                self._forget(self.people[next(iter(self._plain))])

    def is_settled(self, job: Job) -> bool:
        """Whether a receipt or a second answer has said that the SMSC has this copy, which it refused before."""
        person = self.people.get((job.alert_id, job.recipient_id))
        copies = person.copies_of(job) if person else []
        return bool(copies) and not any(copy.missing for copy in copies)

    def find(self, submission: Submission, job: Job, offset: int) -> tuple[Person, Copy] | None:
        """The copy of a submit, if it was not answered in time."""
        person = self.people.get((job.alert_id, job.recipient_id))
        for copy in person.copies if person else ():
            if copy.submission is submission and copy.token[2] == offset:
                return person, copy  # type: ignore[return-value]  # a copy has its person
        return None

    def find_attempt(self, job: Job) -> tuple[Person, Copy] | None:
        """The last copy that was noted of an attempt."""
        person = self.people.get((job.alert_id, job.recipient_id))
        copies = person.copies_of(job) if person else []
        return (person, copies[-1]) if person and copies else None

    def note_retry(self, job: Job, to: TopicPartition) -> None:
        """The next attempt at a job was put on a delay topic."""
        person = self.people.get((job.alert_id, job.recipient_id))
        if person is not None:
            person.retry = Retry(job, to)

    def may_withdraw(self, job: Job) -> bool:
        """Whether a job is the next attempt of somebody, so that it may still be withdrawn."""
        return self._retry_of(job) is not None

    def note_moved(self, job: Job, to: TopicPartition) -> None:
        """A job that may still be withdrawn was put on a delay topic of another route."""
        person = self._retry_of(job)
        if person is not None:
            person.retry = Retry(job, to, moved=True)

    def _retry_of(self, job: Job) -> Person | None:
        person = self.people.get((job.alert_id, job.recipient_id))
        wanted = person is not None and person.retry is not None and person.retry.job.attempt == job.attempt
        return person if wanted else None

    def note_written(self, submission: Submission, tokens: Iterable[Token]) -> None:
        """Jobs were written: nothing withdraws them any more."""
        self.alerts.note(submission.account.name, submission.message.control.alert_id, submission.at)
        if self.people:
            for _, job, _, _, _ in tokens:
                person = self._retry_of(job)
                if person is not None:
                    person.retry, person.written = None, job

    def note_answers(self, responses: Sequence[Response[Token]], message_ids: Sequence[bytes]) -> None:
        """Answers in time: their ids are of these submits, and an accepted later copy ends the wait for receipts."""
        for (token, command_status, _, _), message_id in zip(responses, message_ids, strict=True):
            submission, job, *_ = token
            people = self._numbers.get((submission.account.name, job.msisdn.lstrip("+")), ())
            for person in people:
                person.ids.add(message_id.decode("latin-1"))
            person_of_job = self.people.get((job.alert_id, job.recipient_id)) if command_status == ROK else None
            if person_of_job is not None and all(
                copy.job.attempt < job.attempt or (copy.job is job and token[3] is None)
                for copy in person_of_job.copies
            ):
                self._note_accepted(person_of_job)

    def awaits(self, account: str, source: str) -> bool:
        """Whether a receipt from this number may answer a submit of the account."""
        return (account, source.lstrip("+")) in self._numbers

    def claim(
        self, account: str, source: str, receipt: ReceiptContent, message_id: str, arrived_at: int
    ) -> Claim | None:
        """The one copy whose submit a receipt answers; None when there is none, or several might be meant."""
        people = self._numbers.get((account, source.lstrip("+")), ())
        copies = [
            (person, copy) for person in people for copy in person.copies if copy.submission.account.name == account
        ]
        for person, copy in copies:
            part = copy.part_of(message_id)
            if part is not None:
                # The SMSC gave this id with its refusal: the receipt is of no other.
                found = [Claim(person, copy, part)] if says_taken(receipt) else []
                break
        else:
            if any(message_id in person.ids for person in people):
                return None
            if self.answered.has(account, message_id.encode("latin-1")):
                return None
            found = [
                Claim(person, copy, part)
                for person, copy in copies
                if not person.accepted
                and (part := copy.part_without_id()) is not None
                and fits(receipt, arrived_at=arrived_at, written_at=copy.submission.at)
                and not self.alerts.may_be_other(account, copy.job.alert_id, copy.submission.at)
            ]
        if len({(claim.person.key, claim.copy.job.attempt, claim.part) for claim in found}) != 1:
            # Copies of one attempt, written again because of the rate, may be meant all the same.
            return None
        found[0].person.ids.add(message_id)
        return found[0]

    def _note_accepted(self, person: Person) -> None:
        """A later copy is accepted: from now on a receipt says something only if its id is known."""
        person.accepted = True
        if any(message_id for copy in person.copies for message_id in copy.refused.values()):
            return
        self._leave_numbers(person)
        if not any(copy.unanswered for copy in person.copies):
            self.people.pop(person.key, None)
            self._plain.pop(person.key, None)

    def withdraw(self, job: Job) -> None:
        """A job is not to be written, if it comes up here."""
        if len(self.withdrawn) >= WITHDRAWN_LIMIT:
            del self.withdrawn[next(iter(self.withdrawn))]
        self.withdrawn[key_of(job)] = None

    def prune(self, now: int) -> None:
        """Forget the oldest whose alerts have expired; `now` in milliseconds since the epoch."""
        for key in [key for key, until in self._plain.items() if until <= now]:
            self._forget(self.people[key])
        for person in tuple(self._expired(now)):
            self._forget(person)

    def _expired(self, now: int) -> Iterator[Person]:
        for person in self.people.values():
            if person.expires_at > now:
                return
            yield person

    def _forget(self, person: Person) -> None:
        self._leave_numbers(person)
        self.people.pop(person.key, None)
        self._plain.pop(person.key, None)

    def _leave_numbers(self, person: Person) -> None:
        for copy in person.copies:
            number = _number_of(copy)
            people = [each for each in self._numbers.get(number, ()) if each is not person]
            if people:
                self._numbers[number] = people
            else:
                self._numbers.pop(number, None)


def _number_of(copy: Copy) -> Number:
    return copy.submission.account.name, copy.job.msisdn.lstrip("+")
