"""Submits that were written together, and what is kept of each until it is answered."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from broadcast.routing import Account
from broadcast.sending.messages import Message
from broadcast.sending.progress import Progress
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import ROK
from schemas.job import Job


@dataclass(slots=True, eq=False)
class Submission:
    """Jobs of one partition with one message, written to one session of one account at one instant.

    `session` is the session's identity. `at`, and `recorded_at` when the first job came to Kafka (0: not known), are
    milliseconds since the epoch. `held` are the offsets of jobs with an unanswered submit that is not sent again.
    `bind` is named where the message is a test.
    """

    message: Message
    progress: "Progress[Token]"
    partition: int
    account: Account
    session: str
    at: int
    recorded_at: int
    held: set[int] = field(default_factory=set)
    bind: str = ""


class SegmentAnswers:
    """The answers so far to one job of several segments; its statuses go out together when all are there."""

    __slots__ = ("answers", "left")

    def __init__(self, segments: int) -> None:
        self.answers: Final[list[tuple[int, str] | None]] = [None] * segments
        self.left = segments

    def add(self, part: int, answer: tuple[int, str]) -> bool:
        """Keep the answer to a segment, a late one too, but no refusal after an acceptance; whether all have one."""
        if self.answers[part] is None:
            self.left -= 1
        if not self.has_taken(part):
            self.answers[part] = answer
        return self.left == 0

    def has_taken(self, part: int) -> bool:
        """Whether the SMSC has accepted a segment."""
        answer = self.answers[part]
        return answer is not None and answer[0] == ROK

    def all(self) -> list[tuple[int, str]]:
        """The answers of all segments, those that did not come as `UNANSWERED`."""
        return [answer or (UNANSWERED, "") for answer in self.answers]


Token: TypeAlias = tuple[Submission, Job, int, SegmentAnswers | None, int]
"""What identifies a submit until it is answered: submission, job, the job's offset; and for a job of several segments
the answers to all of them and the number of this one, from 0. A plain tuple, because one is made for every submit."""
