"""A settlement with jobs of one message, taken, for tests."""

from typing import Any

import msgspec
from aiokafka import TopicPartition

from broadcast.kafka.position import fresh_position
from broadcast.routing import Account, ResendUnanswered, Route
from broadcast.sending.answers.tokens import SegmentAnswers, Submission, Token
from broadcast.sending.control import ControlView
from broadcast.sending.messages import Message, MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.smpp.codec.message import Delivery
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Status
from schemas.topics import Names

AT = 1_767_268_800_000
"""2026-01-01, 12:00:00 UTC."""

ACCOUNT = Account(name="acc", host="h", port=1, system_id="s", resend_unanswered=ResendUnanswered(routine=0))
ROUTE = Route(name="r", prefixes=("+",), delays_seconds=(5, 30), accounts=(ACCOUNT,))
TWICE = ROUTE.model_copy(
    update={"accounts": (ACCOUNT.model_copy(update={"resend_unanswered": ResendUnanswered(immediate=2, routine=0)}),)}
)
TWO_ACCOUNTS = ROUTE.model_copy(update={"accounts": (ACCOUNT, ACCOUNT.model_copy(update={"name": "other"}))})
KEY = b"key"


class SettlementUnderTest:
    """A settlement with jobs of one message, taken."""

    def __init__(
        self,
        lane: Lane = Lane.ROUTINE,
        *,
        segments: int = 1,
        expires_in: int = 3_600_000,
        jobs: int = 1,
        route: Route = ROUTE,
        **job_fields: Any,
    ):
        self.outbox = Outbox()
        self.view = ControlView()
        self.settlement = Settlement(route, Names("p."), KEY, self.outbox, self.view)
        text = "x" * (152 * segments if segments > 1 else 10)
        control = Control("a" * 36, lane, "Actual", AT + expires_in, (Variant("en", text),))
        self.message: Message = MessageCache(6).find(control, 0, "", ())
        self.progress: Progress[Token] = Progress(fresh_position(0), "me")
        self.submission = Submission(self.message, self.progress, 3, route.accounts[0], "session", AT, AT - 500)
        self.settlement.follow_deliveries("acc", lambda: [self.progress.unanswered()])
        self.tokens: list[list[Token]] = []
        for offset in range(jobs):
            answers = SegmentAnswers(segments) if segments > 1 else None
            job = Job("a" * 36, 100 + offset, f"+4477009001{offset:02d}", **job_fields)
            self.tokens.append([(self.submission, job, offset, answers, part) for part in range(segments)])
        first = [tokens[0] for tokens in self.tokens]
        self.settlement.note_submitted(self.submission, list(range(jobs)), first, jobs * segments)

    def statuses(self) -> list[Status]:
        return [msgspec.json.decode(value, type=Status) for _, value in self.outbox.content.statuses]

    def retries(self) -> dict[TopicPartition, list[Job]]:
        return {
            to: [msgspec.json.decode(value, type=Job) for _, value in records]
            for to, records in self.outbox.content.retries.items()
        }

    def jobs(self) -> list[Job]:
        return [job for jobs in self.retries().values() for job in jobs if not job.withdrawn]

    def withdrawn(self) -> list[tuple[int, int]]:
        return [(job.recipient_id, job.attempt) for jobs in self.retries().values() for job in jobs if job.withdrawn]


def receipt(message_id: str, source: str, submitted: str, done: str, state: str = "DELIVRD") -> Delivery:
    """A receipt with these dates, from a number."""
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:{submitted} done date:{done} stat:{state} err:000 text:"
    return Delivery(1, 0x04, source.encode(), b"TOCSIN", 0, text.encode(), b"")
