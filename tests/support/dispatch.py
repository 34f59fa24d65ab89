"""A dispatch of several accounts with sessions in memory, a topic of jobs and a delay topic, for tests."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.health import Health
from broadcast.kafka.position import Position, fresh_position
from broadcast.routing import Account, Route
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.configuration import make_config
from broadcast.sending.accounts.route_accounts import RouteAccounts
from broadcast.sending.control import ControlView
from broadcast.sending.dispatching.assessing import JobAssessor
from broadcast.sending.dispatching.delayed import DelayedJobs
from broadcast.sending.dispatching.dispatch import Dispatch
from broadcast.sending.messages import MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Source
from broadcast.smpp.codec.message import parse_message
from broadcast.smpp.codec.pdu import SUBMIT_SM, SUBMIT_SM_RESP, Pdu, encode_pdu
from broadcast.smpp.session import Session
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from tests.support.sender_events import RecordedEvents
from tests.support.smpp import MemoryTransport

ALERT = "a" * 36
DELAY_MS = 5_000
LONG = "x" * 400


class BoundSession:
    """A session of an account whose other end is the test."""

    def __init__(self, binds: AccountBinds) -> None:
        clock = asyncio.get_running_loop().time
        self.binds = binds
        self.session: Session[Any] = Session(make_config(binds.account).bind, binds, clock=clock)
        self.wire = MemoryTransport(self.session)
        self.session.connection_made(self.wire)
        self.session.start(b"smsc")
        binds.pool.sessions = (*binds.pool.sessions, self.session)
        self.open: list[Pdu] = []

    def take(self) -> list[str]:
        """The numbers of the submits that were written since the last call."""
        pdus = [pdu for pdu in self.wire.take() if pdu.command == SUBMIT_SM]
        self.open += pdus
        return [parse_message(pdu.body, 0, len(pdu.body)).destination.decode() for pdu in pdus]

    def answer(self, *statuses: int) -> None:
        """Answer the oldest open submits."""
        for status in statuses:
            pdu = self.open.pop(0)
            body = b"id%d\0" % pdu.sequence if not status else b""
            self.session.data_received(encode_pdu(SUBMIT_SM_RESP, status, pdu.sequence, body))

    async def end(self) -> None:
        """The link is lost."""
        self.binds.pool.sessions = tuple(each for each in self.binds.pool.sessions if each is not self.session)
        self.session.abort()
        await asyncio.sleep(0)


def assemble_dispatch(
    route: Route,
    settlement: Settlement,
    outbox: Outbox,
    view: ControlView,
    events: RecordedEvents,
    *,
    in_doubt_limit: int,
    clock: Callable[[], float],
) -> tuple[RouteAccounts, Dispatch]:
    """The accounts of a route, and a dispatch to them; deliveries and alarms of accounts lead nowhere."""
    nothing: Any = None
    accounts = RouteAccounts(
        route.accounts,
        "a",
        lambda account, sent: AccountBinds(account, settlement, nothing, events, sent=sent),
        health=Health("sender"),
        alarms=nothing,
        events=events,
    )
    delayed = DelayedJobs(outbox, settlement.unanswered, events)
    assessor = JobAssessor(
        route=route,
        accounts=accounts,
        view=view,
        messages=MessageCache(6),
        outbox=outbox,
        in_doubt_limit=in_doubt_limit,
        delayed=delayed,
        events=events,
        clock=clock,
    )
    dispatch = Dispatch(
        accounts=accounts,
        assessor=assessor,
        delayed=delayed,
        settlement=settlement,
        outbox=outbox,
        in_doubt_limit=in_doubt_limit,
        events=events,
    )
    return accounts, dispatch


class SenderUnderTest(RecordedEvents):
    """Everything real but the wire and Kafka: `jobs` and `delayed` are the sources, ready to be written."""

    def __init__(
        self,
        *accounts: str,
        in_doubt_limit: int = 2_000,
        text: str = "short",
        fallback: tuple[str, ...] = (),
        clock: Callable[[], float] = monotonic,
        **fields: Any,
    ) -> None:
        super().__init__()
        fields = {"host": "h", "port": 1, "system_id": "s"} | fields
        made = [Account(name=name, fallback=name in fallback, **fields) for name in accounts or ("acc",)]
        route = Route(name="r", prefixes=("+",), accounts=tuple(made), delays_seconds=(5, 30))
        self.committed_retries: list[Job] = []
        self.committed_statuses: list[Status] = []
        self.outbox, self.view = Outbox(), ControlView()
        self.settlement = Settlement(route, Names("p."), b"k", self.outbox, self.view)
        self.accounts, self.dispatch = assemble_dispatch(
            route, self.settlement, self.outbox, self.view, self, in_doubt_limit=in_doubt_limit, clock=clock
        )
        self.jobs = self.make_source("p.jobs.r.immediate.v1", 0)
        self.delayed = self.make_source("p.jobs.r.immediate.delay.5s.v1", DELAY_MS * 6 // 5)
        self.dispatch.sources = (self.jobs, self.delayed)
        self.view.caught_up_at = math.inf
        expires_at = epoch_milliseconds() + 3_600_000
        self.view.controls[ALERT] = Control(ALERT, Lane.IMMEDIATE, "Exercise", expires_at, (Variant("en", text),))

    def make_source(self, topic: str, wait_ms: int, found: Position | None = None) -> Source[Any]:
        progress: Progress[Any] = Progress(found or fresh_position(0), "me")
        progress.propose()
        progress.confirm()
        return Source(TopicPartition(topic, 0), Lane.IMMEDIATE, progress, wait_ms)

    def write_ready(self) -> None:
        self.dispatch.write_ready()

    def bind(self, name: str = "acc") -> BoundSession:
        [binds] = [binds for binds in self.accounts.in_force if binds.account.name == name]
        return BoundSession(binds)

    def feed(self, source: Source[Any], jobs: Iterable[Job], first: int = 0) -> None:
        now = epoch_milliseconds()
        source.feed(
            [
                ConsumerRecord(
                    topic=source.partition.topic,
                    partition=0,
                    offset=offset,
                    timestamp=now,
                    timestamp_type=0,
                    key=b"%d" % job.recipient_id,
                    value=msgspec.json.encode(job),
                    checksum=None,
                    serialized_key_size=1,
                    serialized_value_size=1,
                    headers=(),
                )
                for offset, job in enumerate(jobs, first)
            ]
        )

    def beat(self, *sources: Source[Any]) -> None:
        """Commit what was collected, as a beat does; `sources` if there are others than the two."""
        self.committed_retries += self.retries()
        self.committed_statuses += self.statuses()
        content = self.outbox.take()
        for source in (self.jobs, *(sources or (self.delayed,))):
            source.progress.propose()
            source.progress.confirm()
        self.settlement.note_committed(content)

    def statuses(self) -> list[Status]:
        return [msgspec.json.decode(value, type=Status) for _, value in self.outbox.content.statuses]

    def outcomes(self) -> Sequence[tuple[int, Outcome]]:
        return [(status.recipient_id, status.outcome) for status in self.statuses()]

    def retries(self) -> list[Job]:
        content = self.outbox.content.retries.values()
        return [msgspec.json.decode(value, type=Job) for records in content for _, value in records]


def job(number: int, **fields: Any) -> Job:
    """A job whose recipient has the number +44 and `number` in six digits."""
    return Job(ALERT, number, f"+44{number:06d}", **fields)


def number_of(recipient: int) -> str:
    return f"44{recipient:06d}"
