"""What is written when: messages of several segments on a slow account, and alerts whose control record is not read."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.position import fresh_position
from broadcast.routing import Account, Route
from broadcast.sending.accounts.configuration import make_config
from broadcast.sending.control import ControlView
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.sending.sources import Run, Source
from broadcast.smpp.codec.pdu import SUBMIT_SM, SUBMIT_SM_RESP, encode_pdu
from broadcast.smpp.session import Session
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names
from tests.support.dispatch import SenderUnderTest, assemble_dispatch, job
from tests.support.sender_events import RecordedEvents
from tests.support.smpp import MemoryTransport

FIRST, SECOND = "a" * 36, "b" * 36


class DispatchUnderTest(RecordedEvents):
    """A dispatch of one account and one source, with everything real but the wire."""

    def __init__(self, *, in_doubt_limit: int = 2_000, clock: Callable[[], float] = monotonic, **account: Any) -> None:
        super().__init__()
        self.account = Account(name="acc", host="h", port=1, system_id="s", **account)
        route = Route(name="r", prefixes=("+",), accounts=(self.account,), delays_seconds=(5,))
        self.outbox, self.view = Outbox(), ControlView()
        settlement = Settlement(route, Names("p."), b"k", self.outbox, ControlView())
        self.accounts, self.dispatch = assemble_dispatch(
            route, settlement, self.outbox, self.view, self, in_doubt_limit=in_doubt_limit, clock=clock
        )
        [self.binds] = self.accounts.in_force
        progress: Progress[Any] = Progress(fresh_position(0), "me")
        progress.propose()
        progress.confirm()
        self.source: Source[Any] = Source(TopicPartition("jobs", 0), Lane.IMMEDIATE, progress)
        self.dispatch.sources = (self.source,)
        self.view.caught_up_at = math.inf

    def write_ready(self) -> None:
        self.dispatch.write_ready()

    def add_jobs(self, alert_id: str, first: int, count: int) -> None:
        jobs = [Job(alert_id, number, f"+4477009{number:05d}") for number in range(first, first + count)]
        self.source.runs.append(Run(jobs, list(range(first, first + count)), 0))
        self.source._buffered += count


@pytest.mark.parametrize(("rate", "segments"), [(50, 1), (50, 6), (10, 2)])
async def test_messages_of_several_segments_leave_a_slow_account(rate: int, segments: int) -> None:
    sender = DispatchUnderTest(rate_per_second=rate)
    text = "x" * (100 if segments == 1 else 153 * segments - 40)
    sender.view.controls[FIRST] = Control(
        FIRST, Lane.IMMEDIATE, "Exercise", epoch_milliseconds() + 3_600_000, (Variant("en", text),)
    )
    clock = asyncio.get_running_loop().time
    pool = sender.binds.pool
    session: Session[Any] = Session(
        make_config(sender.account).bind, sender.binds, clock=clock, account_pacing=pool._shared.pacing
    )
    wire = MemoryTransport(session)
    session.connection_made(wire)
    pool.sessions = (session,)
    sender.add_jobs(FIRST, 0, 3)
    session.start(b"smsc")
    submits = 0
    async with asyncio.timeout(5):
        while submits < 3 * segments:
            for pdu in wire.take():
                if pdu.command == SUBMIT_SM:
                    submits += 1
                    session.data_received(encode_pdu(SUBMIT_SM_RESP, 0, pdu.sequence, b"id%d\0" % pdu.sequence))
            await asyncio.sleep(0.01)
    assert len(sender.outbox.content.statuses) == 3 * segments
    session.abort()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"window": 2}, "3 segments exceed window = 2 of account acc; raise it to 3 at least"),
        (
            {"in_doubt_limit": 2},
            "3 segments exceed the in-doubt limit of 2 for route r; raise BROADCAST_IN_DOUBT_LIMIT",
        ),
    ],
)
async def test_a_message_too_long_for_a_limit_fails_and_says_for_which(limits: dict[str, Any], reason: str) -> None:
    sender = DispatchUnderTest(**limits)
    sender.view.controls[FIRST] = Control(
        FIRST, Lane.IMMEDIATE, "Exercise", epoch_milliseconds() + 3_600_000, (Variant("en", "x" * 400),)
    )
    sender.add_jobs(FIRST, 0, 1)
    sender.dispatch.settle_unsent()
    [(_, value)] = sender.outbox.content.statuses
    status = msgspec.json.decode(value, type=Status)
    assert (status.outcome, status.reason) == (Outcome.FAILED, reason)


async def test_each_alert_has_its_own_wait_for_its_control_record() -> None:
    now = 1_000.0
    instant = now
    sender = DispatchUnderTest(clock=lambda: instant)

    def settle(at: float) -> list[bytes]:
        nonlocal instant
        instant = at
        sender.view.caught_up_at = at
        sender.dispatch.settle_unsent()
        return [key for key, _ in sender.outbox.content.statuses]

    sender.add_jobs(FIRST, 0, 1)
    assert settle(now) == []
    sender.add_jobs(SECOND, 1, 1)
    assert settle(now + 0.6) == [b"0"]
    assert settle(now + 1.2) == [b"0", b"1"]


async def test_alerts_without_a_control_record_fail_though_one_waits_aside_and_another_at_the_head() -> None:
    instant = 1_000.0
    sender = DispatchUnderTest(clock=lambda: instant)
    progress: Progress[Any] = Progress(fresh_position(0), "me")
    progress.propose()
    progress.confirm()
    source: Source[Any] = Source(TopicPartition("delay", 0), Lane.IMMEDIATE, progress, 5_000)
    source.runs.append(Run([Job(FIRST, 1, "+447700900101", refused_by=("x",))], [0], 0))
    source.runs.append(Run([Job(SECOND, 2, "+447700900102")], [1], 0))
    sender.source, sender.dispatch.sources = source, (source,)
    sender.dispatch._delayed.sessions = {"session": "acc"}
    sender.dispatch._delayed.accounts = {"acc": sender.accounts.in_force[0]}
    for _ in range(10):
        sender.view.caught_up_at = instant - 0.1
        sender.dispatch.settle_unsent()
        instant += 0.5
    outcomes = [msgspec.json.decode(value, type=Status) for _, value in sender.outbox.content.statuses]
    assert {(each.recipient_id, each.outcome) for each in outcomes} == {(1, Outcome.FAILED), (2, Outcome.FAILED)}
    assert source.empty
    assert source.waiting == {}


@given(st.lists(st.sampled_from([FIRST, SECOND, "c" * 36]), max_size=30), st.integers(0, 30))
def test_only_alerts_with_a_job_in_memory_are_waited_for(alerts: list[str], cut: int) -> None:
    source: Source[Any] = Source(TopicPartition("jobs", 0), Lane.IMMEDIATE, Progress(fresh_position(0), "me"))
    for number, alert in enumerate(alerts):
        source.runs.append(Run([Job(alert, number, "+447700900101")], [number], 0))
        source.note_waiting(alert, number)
    assert source.waiting == {alert: alerts.index(alert) for alert in alerts}
    for _ in range(min(cut, len(alerts))):
        source.cut(1)
    source.note_waiting("d" * 36, 99.0)
    assert source.waiting.keys() == {*alerts[cut:], "d" * 36}


async def test_a_retry_that_is_due_goes_before_less_urgent_ones_and_one_that_is_not_holds_up_nobody() -> None:
    sender = DispatchUnderTest()
    now = epoch_milliseconds()

    def delayed(lane: Lane, due_at: int) -> Source[Any]:
        source: Source[Any] = Source(TopicPartition(lane, 0), lane, Progress(fresh_position(0), "me"), 6_000)
        source.runs.append(Run([Job(FIRST, 1, "+447700900123", attempt=2, due_at=due_at)], [0], 0))
        return source

    routine, immediate = delayed(Lane.ROUTINE, now - 9_000), delayed(Lane.IMMEDIATE, now - 1)
    early = delayed(Lane.IMMEDIATE, now + 1_000)
    sender.dispatch.sources = (routine, early, immediate)
    assert sender.dispatch._chooser.ordered(now) == [immediate, routine]


async def test_partitions_of_a_lane_take_turns() -> None:
    sender = SenderUnderTest(window=4)
    bound = sender.bind()
    sources = [sender.make_source(f"p.jobs.r.immediate.v1-{number}", 0) for number in range(3)]
    sender.dispatch.sources = tuple(sources)
    for number, source in enumerate(sources):
        sender.feed(source, [job(100 * number + each) for each in range(50)])
    written: list[str] = []
    while len(written) < 45:
        sender.write_ready()
        written += bound.take()
        bound.answer(*[0] * len(bound.open))
        sender.beat(*sources)
    by_partition = Counter(int(number) % 1_000 // 100 for number in written)
    assert min(by_partition[number] for number in range(3)) >= 8


async def test_only_a_message_of_several_submits_keeps_the_answers_to_each() -> None:
    for text, submits in (("short", 1), ("x" * 200, 2)):
        sender = SenderUnderTest(text=text)
        bound = sender.bind()
        sender.feed(sender.jobs, [job(1)])
        sender.write_ready()
        assert len(bound.take()) == submits
        [token] = sender.jobs.progress.unanswered()
        assert (token[3] is not None) is (submits > 1)


async def test_a_worker_without_a_share_of_the_partitions_keeps_the_rate_that_it_had() -> None:
    sender = SenderUnderTest(rate_per_second=100)
    [binds] = sender.accounts.in_force
    for share, rate in ((0.5, 50), (0.0, 50), (0.25, 25)):
        sender.accounts.set_share(share)
        assert binds.pool.allowed_rate() == pytest.approx(rate)


async def test_jobs_that_were_put_back_are_no_measure_of_how_long_a_message_waited() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    sender.feed(sender.jobs, map(job, range(3)))
    jobs, offsets = sender.jobs.cut(3)
    sender.jobs.put_back(jobs, offsets)
    sender.write_ready()
    bound.take()
    bound.answer(0, 0, 0)
    assert len(sender.statuses()) == 3
    assert not sender.outbox.content.handovers


async def test_what_a_beat_commits_leaves_the_rest_of_a_session_in_doubt() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    sender.feed(sender.jobs, map(job, range(5)))
    sender.write_ready()
    bound.take()
    for answered, left in ((2, 3), (1, 2), (2, 0)):
        bound.answer(*[0] * answered)
        sender.beat()
        assert sender.settlement.in_doubt_of(bound.session.identity) == sender.settlement.in_doubt == left
