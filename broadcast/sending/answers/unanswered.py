"""The messages that nothing has answered, until a late answer or a receipt does; and the resends withdrawn by it.

Empty in normal operation: nothing here is asked for a submit that is answered in time.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from aiokafka import TopicPartition

from broadcast.sending.answers.receipt_match import SLACK_SECONDS, fits, tolerance_seconds
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.smpp.codec.command_status import ROK
from broadcast.smpp.codec.receipts import ReceiptContent
from broadcast.smpp.window import Response
from schemas.job import Job

PEOPLE_LIMIT: Final = 20_000
"""Recipients kept; beyond it the oldest are forgotten, and their resends are not withdrawn."""

ALERTS_LIMIT: Final = 1_000
WITHDRAWN_LIMIT: Final = 100_000

JobKey: TypeAlias = tuple[str, int, int]
"""Alert, recipient and attempt: one job."""

Number: TypeAlias = tuple[str, str]
"""Account, and a number without its plus sign."""


def key_of(job: Job) -> JobKey:
    """The key of a job, or of the one that a record withdraws."""
    return job.alert_id, job.recipient_id, job.attempt


class Copy:
    """One copy of a message: the parts that nothing has answered, and all that were not accepted."""

    __slots__ = ("job", "missing", "offset", "submission", "unanswered")

    def __init__(self, submission: Submission, job: Job, offset: int, unanswered: set[int], missing: set[int]) -> None:
        self.submission: Final = submission
        self.job: Final = job
        self.offset: Final = offset
        self.unanswered: Final = unanswered
        self.missing: Final = missing


class Person:
    """A recipient of one alert, with the copies that were not answered, and the next attempt on its delay topic."""

    __slots__ = ("copies", "expires_at", "ids", "key", "retry")

    def __init__(self, key: tuple[str, int], expires_at: int) -> None:
        self.key: Final = key
        self.expires_at: Final = expires_at
        self.copies: Final[list[Copy]] = []
        self.ids: Final[set[str]] = set()
        self.retry: tuple[Job, TopicPartition] | None = None

    def take_retry(self) -> tuple[Job, TopicPartition] | None:
        """The next attempt, which is to be withdrawn; None when it was written, or there is none."""
        retry, self.retry = self.retry, None
        return retry


class Claim(NamedTuple):
    """A receipt that answers a part of a copy."""

    person: Person
    copy: Copy
    part: int


class Unanswered:
    """Recipients with an unanswered submit, by alert and recipient, and by account and number."""

    def __init__(self) -> None:
        self.people: Final[dict[tuple[str, int], Person]] = {}
        self.withdrawn: Final[dict[JobKey, None]] = {}
        self._numbers: Final[dict[Number, list[Person]]] = {}
        self._written: Final[dict[tuple[str, str], tuple[int, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self.people)

    def add(self, copy: Copy, ids: Iterable[str]) -> Copy:
        """A copy of which parts were not answered; `ids` are those of its answers."""
        key = copy.job.alert_id, copy.job.recipient_id
        person = self.people.get(key)
        if person is None:
            while len(self.people) >= PEOPLE_LIMIT:
                self._forget(next(iter(self.people.values())))
            person = self.people[key] = Person(key, copy.submission.message.control.expires_at)
        person.copies.append(copy)
        person.ids.update(ids)
        people = self._numbers.setdefault(_number_of(copy), [])
        if person not in people:
            people.append(person)
        return copy

    def find(self, submission: Submission, job: Job, offset: int) -> tuple[Person, Copy] | None:
        """The copy of a submit, if it was not answered in time."""
        person = self.people.get((job.alert_id, job.recipient_id))
        for copy in person.copies if person else ():
            if copy.submission is submission and copy.offset == offset:
                return person, copy  # type: ignore[return-value]  # a copy has its person
        return None

    def note_retry(self, job: Job, to: TopicPartition) -> None:
        """The next attempt at a job was put on a delay topic."""
        person = self.people.get((job.alert_id, job.recipient_id))
        if person is not None:
            person.retry = job, to

    def note_written(self, submission: Submission, tokens: Iterable[Token]) -> None:
        """Jobs were written: nothing withdraws them any more."""
        message = submission.message
        key = submission.account.name, message.control.alert_id
        if key not in self._written and len(self._written) >= ALERTS_LIMIT:
            del self._written[next(iter(self._written))]
        first, _ = self._written.get(key, (submission.at, 0))
        self._written[key] = first, submission.at
        if self.people:
            for _, job, _, _, _ in tokens:
                person = self.people.get((job.alert_id, job.recipient_id))
                if person is not None and person.retry is not None and person.retry[0].attempt == job.attempt:
                    person.retry = None

    def note_answers(self, responses: Sequence[Response[Token]], message_ids: Sequence[bytes]) -> None:
        """Answers in time: their ids are of these submits, and an accepted later copy ends the wait for receipts."""
        for (token, command_status, _, _), message_id in zip(responses, message_ids, strict=True):
            submission, job, *_ = token
            people = self._numbers.get((submission.account.name, job.msisdn.lstrip("+")), ())
            for person in people:
                person.ids.add(message_id.decode("latin-1"))
            person_of_job = self.people.get((job.alert_id, job.recipient_id)) if command_status == ROK else None
            if person_of_job is not None and all(copy.job.attempt < job.attempt for copy in person_of_job.copies):
                self._leave_numbers(person_of_job)

    def awaits(self, account: str, source: str) -> bool:
        """Whether a receipt from this number may answer a submit of the account."""
        return (account, source.lstrip("+")) in self._numbers

    def claim(
        self, account: str, source: str, receipt: ReceiptContent, message_id: str, arrived_at: int
    ) -> Claim | None:
        """The one copy whose submit a receipt answers; None when there is none, or several might be meant."""
        found: list[Claim] = []
        for person in self._numbers.get((account, source.lstrip("+")), ()):
            if message_id in person.ids:
                return None
            for copy in person.copies:
                written_at = copy.submission.at
                if (
                    copy.submission.account.name == account
                    and copy.unanswered
                    and fits(receipt, arrived_at=arrived_at, written_at=written_at)
                    and not self._other_alert(account, copy.job.alert_id, written_at, tolerance_seconds(receipt))
                ):
                    found.append(Claim(person, copy, min(copy.unanswered)))
        if len(found) != 1:
            return None
        found[0].person.ids.add(message_id)
        return found[0]

    def withdraw(self, job: Job) -> None:
        """A job is not to be written, if it comes up here."""
        if len(self.withdrawn) >= WITHDRAWN_LIMIT:
            del self.withdrawn[next(iter(self.withdrawn))]
        self.withdrawn[key_of(job)] = None

    def prune(self, now: int) -> None:
        """Forget the oldest whose alerts have expired; `now` in milliseconds since the epoch."""
        for person in tuple(self._expired(now)):
            self._forget(person)

    def _expired(self, now: int) -> Iterator[Person]:
        for person in self.people.values():
            if person.expires_at > now:
                return
            yield person

    def _other_alert(self, account: str, alert_id: str, written_at: int, tolerance: float) -> bool:
        """Whether the account wrote another alert's jobs about then: the receipt may be of one to the same number."""
        margin = int((tolerance + SLACK_SECONDS) * 1000)
        return any(
            name == account and other != alert_id and first - margin <= written_at <= last + margin
            for (name, other), (first, last) in self._written.items()
        )

    def _forget(self, person: Person) -> None:
        self._leave_numbers(person)
        self.people.pop(person.key, None)

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
