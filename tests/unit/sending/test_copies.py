"""Whatever comes in whatever order: the stated number of copies, sums that are right, and no state made worse."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.kafka.position import fresh_position
from broadcast.routing import Account, ResendUnanswered, Route
from broadcast.sending.answers.tokens import SegmentAnswers, Submission, Token
from broadcast.sending.answers.unanswered import key_of
from broadcast.sending.control import ControlView
from broadcast.sending.messages import MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.smpp.codec.command_status import RINVDSTADR, RINVSRCADR, RMSGQFUL, ROK, RSYSERR, RTHROTTLED
from broadcast.smpp.codec.message import Delivery
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import RANK, DeliveryState, Outcome, Status, state_of_attempt, state_of_recipient
from schemas.topics import Names
from tests.support.facts import fact_of

AT = 1_800_000_000_000
ALERT = "a" * 36
NUMBER = "+447700900123"


@dataclass
class Smsc:
    """One recipient's message between a sender and an SMSC: what was written, taken, and is still to come."""

    limit: int
    segments: int
    now: int = AT
    open: list[Token] = field(default_factory=list)
    given_up: list[tuple[Token, bool]] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    written: int = 0
    ids: int = 0
    statuses: list[Status] = field(default_factory=list)
    refused_and_taken: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        account = Account(
            name="acc",
            host="h",
            port=1,
            system_id="s",
            resend_unanswered=ResendUnanswered(immediate=self.limit),
        )
        self.account = account
        other = account.model_copy(update={"name": "other"})
        route = Route(name="r", prefixes=("+",), accounts=(account, other), delays_seconds=(5, 30))
        self.outbox = Outbox()
        self.settlement = Settlement(route, Names("p."), b"k", self.outbox, ControlView())
        self.settlement.follow_deliveries("acc", lambda: [self.open])
        text = "x" if self.segments == 1 else "x" * 152 * self.segments
        control = Control(ALERT, Lane.IMMEDIATE, "Actual", AT + 10**9, (Variant("en", text),))
        self.cache, self.control = MessageCache(6), control
        self.progress: Progress[Token] = Progress(fresh_position(0), "me")
        self.offset = 0

    def write(self, job: Job) -> None:
        message = self.cache.find(self.control, 0, "", job.segments)
        submission = Submission(message, self.progress, 0, self.account, "session", self.now, 0)
        parts = len(message.numbers)
        sent = SegmentAnswers(parts) if parts > 1 else None
        tokens: list[Token] = [(submission, job, self.offset, sent, part) for part in range(parts)]
        self.settlement.note_submitted(submission, [self.offset], tokens[:1], parts)
        self.offset += 1
        self.written += parts
        self.open += tokens

    def answer(self, token: Token, status: int) -> None:
        """An answer in time; a number that the SMSC gives is new."""
        if status == ROK:
            self._take(token)
        self.settlement.settle_many([(token, status, b"", 1)], [self._id() if status == ROK else b""], self.now)

    def refuse_and_take(self, token: Token) -> None:
        """An error, though the phone gets the message; the error says the id."""
        self._take(token)
        self.refused_and_taken.append(self._id())
        self.settlement.settle_many([(token, RSYSERR, b"", 1)], [self.refused_and_taken[-1]], self.now)

    def send_receipt(self, message_id: bytes) -> None:
        delivery = Delivery(1, 4, NUMBER.encode(), b"", 0, receipt(message_id), b"")
        self.settlement.note_deliveries(self.account, [delivery], self.now)
        self.beat()

    def lose(self, token: Token, taken: bool) -> None:
        """No answer comes in time; the SMSC may have the submit all the same."""
        if taken:
            self._take(token)
        self.settlement.settle_unanswered([token], self.now)
        self.given_up.append((token, taken))

    def _take(self, token: Token) -> None:
        self.taken[token[0].message.numbers[token[4]]] += 1

    def _id(self) -> bytes:
        self.ids += 1
        return b"id%d" % self.ids

    def beat(self) -> None:
        """What was collected is committed; retries wait, and what is withdrawn does not."""
        content = self.outbox.take()
        self.statuses += [msgspec.json.decode(value, type=Status) for _, value in content.statuses]
        self.settlement.note_committed(content)
        for records in content.retries.values():
            for _, value in records:
                job = msgspec.json.decode(value, type=Job)
                if job.withdrawn:
                    self.waiting = [each for each in self.waiting if key_of(each) != key_of(job)]
                else:
                    self.waiting.append(job)

    def state(self) -> DeliveryState:
        return state_of_recipient(fact_of(s, state_of_attempt(s.outcome, None)) for s in self.statuses)


STATUSES = st.sampled_from([ROK, RSYSERR, RMSGQFUL, RINVDSTADR, RINVSRCADR])
STEPS = ["answer", "lose", "late", "receipt", "write", "throttle", "refuse and take"]


def receipt(message_id: bytes) -> bytes:
    dates = b"submit date:260101120000 done date:260101120000"
    return b"id:%b sub:001 dlvrd:001 %b stat:DELIVRD err:000 text:" % (message_id, dates)


def step(smsc: Smsc, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(STEPS))
    smsc.now += 1
    if kind in {"answer", "lose", "throttle", "refuse and take"} and smsc.open:
        token = smsc.open.pop(data.draw(st.integers(0, len(smsc.open) - 1)))
        if kind == "throttle":
            smsc.answer(token, RTHROTTLED)
            throttled = smsc.settlement.throttled.of("session")
            assert throttled is not None
            smsc.open.append(throttled.pop()[0])
        elif kind == "refuse and take":
            smsc.refuse_and_take(token)
        elif kind == "answer":
            smsc.answer(token, data.draw(STATUSES))
        else:
            smsc.lose(token, data.draw(st.booleans()))
    elif kind == "late" and smsc.given_up:
        token, taken = smsc.given_up.pop(data.draw(st.integers(0, len(smsc.given_up) - 1)))
        if not taken:
            smsc._take(token)
        before = RANK[smsc.state()] if smsc.statuses else RANK[DeliveryState.QUEUED]
        smsc.settlement.settle(token, ROK, smsc._id().decode(), smsc.now)
        smsc.beat()
        if smsc.statuses:
            assert RANK[smsc.state()] <= before, "a late acceptance made the state worse"
    elif kind == "receipt":
        before = RANK[smsc.state()] if smsc.statuses else RANK[DeliveryState.QUEUED]
        smsc.send_receipt(data.draw(st.sampled_from([smsc._id(), *smsc.refused_and_taken])))
        if smsc.statuses:
            assert RANK[smsc.state()] <= before, "a receipt made the state worse"
    elif kind == "write" and smsc.waiting:
        smsc.write(smsc.waiting.pop(0))
    smsc.beat()


def finish(smsc: Smsc) -> None:
    """Answer and write until nothing is left."""
    for _ in range(50):
        while smsc.open:
            smsc.answer(smsc.open.pop(), ROK)
        smsc.beat()
        if not smsc.waiting:
            return
        smsc.write(smsc.waiting.pop(0))
    raise AssertionError("attempts without end")


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 3), st.data())
def test_at_most_the_stated_number_of_copies_whatever_the_order_of_events(limit: int, data: st.DataObject) -> None:
    smsc = Smsc(limit, 1)
    smsc.write(Job(ALERT, 1, NUMBER))
    for _ in range(data.draw(st.integers(1, 14))):
        step(smsc, data)
    finish(smsc)
    for message_id in smsc.refused_and_taken:
        smsc.send_receipt(message_id)
    assert smsc.taken[1] <= limit + 1 + len(smsc.refused_and_taken)
    resent = {(s.attempt, s.submitted_at) for s in smsc.statuses if s.outcome is Outcome.UNKNOWN}
    if smsc.taken[1] > 1:
        assert resent or smsc.refused_and_taken
        assert any(status.possible_duplicate for status in smsc.statuses), "every further copy is marked"


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2), st.integers(1, 3), st.data())
def test_sums_are_right_whatever_the_order_of_events(limit: int, segments: int, data: st.DataObject) -> None:
    smsc = Smsc(limit, segments)
    smsc.write(Job(ALERT, 1, NUMBER))
    for _ in range(data.draw(st.integers(1, 14))):
        step(smsc, data)
        assert smsc.settlement.in_doubt >= 0
    finish(smsc)
    assert smsc.settlement.in_doubt == 0, "each submit leaves it once"
    assert smsc.settlement.in_doubt_of("session") == 0
    assert not smsc.progress.pending, "each job has its outcome"
    assert smsc.state() is not DeliveryState.QUEUED, "nobody is left waiting for nothing"
    answered = Counter((s.attempt, s.submitted_at, s.segment) for s in smsc.statuses if not s.late)
    assert set(answered.values()) == {1}, "one outcome for each submit"
    assert sum(1 for s in smsc.statuses if not s.late and s.segment) == smsc.written


@given(st.integers(0, 3))
def test_an_smsc_that_answers_nothing_gets_the_stated_number_of_copies(limit: int) -> None:
    smsc = Smsc(limit, 1)
    smsc.write(Job(ALERT, 1, NUMBER))
    pauses = []
    while smsc.open or smsc.waiting:
        if smsc.open:
            smsc.lose(smsc.open.pop(), taken=True)
            smsc.beat()
        else:
            job = smsc.waiting.pop()
            pauses.append(job.due_at - smsc.now)
            smsc.write(job)
    assert smsc.taken[1] == limit + 1
    assert smsc.state() is DeliveryState.UNKNOWN
    assert [status.outcome for status in smsc.statuses] == [Outcome.UNKNOWN] * (limit + 1)
    assert all(pause >= 30_000 for pause in pauses), "never the shortest step"
