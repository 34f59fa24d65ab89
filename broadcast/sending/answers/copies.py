"""Copies of messages of which nobody knows whether the SMSC has them, by recipient, and the attempts after them."""

from typing import Final, NamedTuple

from aiokafka import TopicPartition

from broadcast.sending.answers.tokens import Submission, Token
from schemas.job import Job


class Copy:
    """One copy of a message.

    `unanswered` are the parts that nothing has answered; `refused` those that the SMSC may have although it refused
    them, each with the message id of the answer or an empty one; `missing` are all parts that were not accepted, nor
    refused for good.
    """

    __slots__ = ("missing", "refused", "token", "unanswered")

    def __init__(self, token: Token, unanswered: set[int], refused: dict[int, str], missing: set[int]) -> None:
        self.token: Final = token
        self.unanswered: Final = unanswered
        self.refused: Final = refused
        self.missing: Final = missing

    @property
    def submission(self) -> Submission:
        return self.token[0]

    @property
    def job(self) -> Job:
        return self.token[1]

    def part_of(self, message_id: str) -> int | None:
        """The part that was refused by an answer with this id."""
        return next((part for part, found in self.refused.items() if found == message_id), None)

    def part_without_id(self) -> int | None:
        """The first part of which no id is known."""
        return min([*self.unanswered, *[part for part, found in self.refused.items() if not found]], default=None)

    def note_final(self, part: int) -> None:
        """The SMSC has this part, or never takes it."""
        self.unanswered.discard(part)
        self.refused.pop(part, None)
        self.missing.discard(part)


class Person:
    """A recipient of one alert, with the copies that were not answered, and the next attempt on its delay topic.

    `written` is the last attempt after them that was written, `accepted` says that it was accepted.
    """

    __slots__ = ("accepted", "copies", "expires_at", "ids", "key", "retry", "written")

    def __init__(self, key: tuple[str, int], expires_at: int) -> None:
        self.key: Final = key
        self.expires_at: Final = expires_at
        self.copies: Final[list[Copy]] = []
        self.ids: Final[set[str]] = set()
        self.retry: Retry | None = None
        self.written: Job | None = None
        self.accepted = False

    def copies_of(self, job: Job) -> list[Copy]:
        """What was noted of one attempt: each time that it was written on its session."""
        return [copy for copy in self.copies if copy.job is job]

    def take_retry(self) -> "Retry | None":
        """The next attempt, which is to be withdrawn; None when it was written, or there is none."""
        retry, self.retry = self.retry, None
        return retry


class Retry(NamedTuple):
    """The next attempt at a job and where it waits; `moved` to another route."""

    job: Job
    to: TopicPartition
    moved: bool = False


class Claim(NamedTuple):
    """A receipt that answers a part of a copy."""

    person: Person
    copy: Copy
    part: int
