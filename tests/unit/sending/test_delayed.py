"""Jobs that not every session may take: withdrawn, some segments of a copy, refused by an account."""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.kafka.position import Position
from broadcast.sending.accounts.health.contents import content_of
from broadcast.sending.answers.sequel import MOST_COPIES, withdrawal_of
from broadcast.smpp.codec.command_status import RSYSERR
from schemas.status import Outcome
from tests.support.dispatch import ALERT, DELAY_MS, LONG, BoundSession, SenderUnderTest, job, number_of


async def test_a_withdrawn_job_is_dropped_and_the_position_goes_on() -> None:
    sender = SenderUnderTest()
    resend = job(1, attempt=2, resends=1, due_at=epoch_milliseconds() + 60_000)
    sender.feed(sender.delayed, [resend, job(2, attempt=2), withdrawal_of(resend), withdrawal_of(job(2, attempt=9))])
    sender.dispatch.settle_unsent()
    assert sender.delayed.runs[0].first == 1, "before it is due"
    assert sender.delayed.progress.end == 1
    assert not sender.delayed.progress.pending
    assert sender.outcomes() == [], "the status of the answer says it all"


async def test_a_withdrawn_job_in_the_middle_of_others_is_not_written() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    resends = [job(number, attempt=2) for number in range(1, 6)]
    sender.feed(sender.delayed, [*resends, withdrawal_of(resends[2]), withdrawal_of(resends[4])])
    sender.write_ready()
    sender.write_ready()
    assert bound.take() == [number_of(1), number_of(2), number_of(4)]
    sender.dispatch.settle_unsent()
    assert sender.delayed.empty
    assert not sender.delayed.withdrawn
    assert sorted(sender.delayed.progress.pending) == [0, 1, 3]
    assert sender.delayed.progress.end == 7


async def test_a_resend_withdrawn_in_this_process_is_not_written_although_its_record_is_not_read() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    resend = job(1, attempt=2, resends=1)
    sender.feed(sender.delayed, [resend])
    sender.settlement.unanswered.withdraw(resend)
    sender.write_ready()
    assert bound.take() == []
    assert sender.delayed.empty
    sender.feed(sender.delayed, [withdrawal_of(resend)], first=1)
    sender.write_ready()
    assert sender.delayed.empty
    assert not sender.settlement.unanswered.withdrawn, "nothing is kept once the record has come up"


async def test_jobs_wait_without_a_requeue_while_no_account_is_bound_and_are_written_when_one_is() -> None:
    sender = SenderUnderTest()
    sender.feed(sender.jobs, [job(number) for number in range(5)])
    for _ in range(1_000):
        sender.write_ready()
        sender.dispatch.settle_unsent()
    sender.beat()
    assert (sender.retries(), sender.committed_retries, sender.outcomes()) == ([], [], [])
    bound = sender.bind()
    sender.write_ready()
    assert bound.take() == [number_of(number) for number in range(5)]
    bound.answer(*[0] * 5)
    assert [(status.recipient_id, status.attempt) for status in sender.statuses()] == [(n, 1) for n in range(5)]


def two_sessions() -> tuple[SenderUnderTest, BoundSession, BoundSession]:
    sender = SenderUnderTest("one", "two", text=LONG)
    return sender, sender.bind("one"), sender.bind("two")


async def test_all_parts_of_one_message_leave_on_one_bind_a_retried_part_too() -> None:
    sender, one, two = two_sessions()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    first, other = (one, two) if one.take() else (two, one)
    assert other.take() == []
    first.answer(0, RSYSERR, 0)
    [retry] = sender.retries()
    assert (retry.segments, retry.session) == ((2,), first.session.identity)
    sender.beat()
    retry.due_at = 0
    sender.feed(sender.delayed, [retry, job(2, attempt=2)])
    for _ in range(3):
        sender.write_ready()
    assert number_of(1) not in other.take()
    assert first.take().count(number_of(1)) == 1
    assert not sender.delayed.aside


async def test_a_message_is_sent_whole_again_only_so_often_and_is_unknown_then() -> None:
    sender = SenderUnderTest(text=LONG)
    one = sender.bind()
    parts: dict[str, Any] = {"attempt": 2, "segments": (2,), "session": "ended"}
    sender.feed(sender.delayed, [job(1, **parts, copies=MOST_COPIES - 1), job(2, **parts, copies=MOST_COPIES)])
    for _ in range(2):
        sender.write_ready()
    assert one.take() == [number_of(1)] * 3
    one.answer(0, RSYSERR, 0)
    assert (2, Outcome.UNKNOWN) in sender.outcomes()
    assert [(each.recipient_id, each.segments, each.copies) for each in sender.retries()] == [(1, (2,), MOST_COPIES)]
    assert not sender.delayed.progress.pending


async def test_a_part_whose_session_has_ended_goes_as_a_whole_new_copy_with_a_mark() -> None:
    sender, one, two = two_sessions()
    sender.feed(sender.delayed, [job(1, attempt=2, segments=(2,), session="of another process"), job(2, attempt=2)])
    sender.write_ready()
    written = [one.take(), two.take()]
    assert sorted(map(len, written)) in ([0, 6], [3, 3])
    [marked] = [token for token in sender.delayed.progress.unanswered() if token[1].recipient_id == 1]
    assert (marked[1].segments, marked[1].possible_duplicate) == ((), True)


async def test_a_job_that_waits_for_a_session_holds_up_no_other() -> None:
    sender, one, two = two_sessions()
    one.session.pause_writing()
    waiting = [job(number, attempt=2, segments=(2,), session=one.session.identity) for number in range(1, 4)]
    sender.feed(sender.delayed, [*waiting, *[job(number, attempt=2) for number in range(4, 8)]])
    sender.write_ready()
    sender.write_ready()
    assert sorted(two.take()) == sorted(map(number_of, [4, 5, 6, 7] * 3))
    assert [run.jobs[0].recipient_id for run in sender.delayed.aside] == [1]
    assert sorted(sender.delayed.progress.pending) == list(range(7)), "they have no outcome"
    one.session.resume_writing()
    assert one.take() == list(map(number_of, [1, 2, 3]))


async def test_what_was_set_aside_goes_anew_when_its_session_ends() -> None:
    sender, one, two = two_sessions()
    one.session.pause_writing()
    sender.feed(sender.delayed, [job(1, attempt=2, segments=(2,), session=one.session.identity)])
    sender.write_ready()
    assert two.take() == []
    await one.end()
    sender.write_ready()
    assert two.take() == [number_of(1)] * 3
    assert not sender.delayed.aside


async def test_what_was_set_aside_is_not_sent_after_a_stop() -> None:
    sender, one, _ = two_sessions()
    one.session.pause_writing()
    sender.feed(sender.delayed, [job(1, attempt=2, segments=(2,), session=one.session.identity)])
    sender.write_ready()
    sender.view.stopped[ALERT] = 1
    sender.dispatch.settle_unsent()
    # The SMSC has the other segments.
    assert sender.outcomes() == [(1, Outcome.UNKNOWN)]
    assert sender.delayed.empty
    assert not sender.delayed.progress.pending


async def test_what_no_account_may_take_now_waits_on_its_delay_topic_as_the_same_attempt() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    refused = job(1, attempt=2, refused_by=("one",), text="refused")
    contents = one.binds.breaker.contents
    contents.note([content_of(refused)], (), monotonic(), other_faults=False)
    contents.note((), [content_of(job(9))], monotonic(), other_faults=False)
    sender.feed(sender.delayed, [refused, job(2, attempt=2)])
    sender.write_ready()
    assert one.take() == [number_of(2)], "it holds up no other"
    [again] = sender.retries()
    assert (again.recipient_id, again.attempt, again.refused_by) == (1, 2, ("one",))
    assert 0 < again.due_at - epoch_milliseconds() <= DELAY_MS
    assert sender.outcomes() == []
    assert list(sender.delayed.progress.pending) == [1]


class Restriction(NamedTuple):
    """Which sessions may take a job: `session` is an index of the bound ones, or 2 for one that has ended."""

    session: int | None = None
    refused_by: str | None = None
    withdrawn: bool = False
    resent: bool = False


RESTRICTIONS = st.sampled_from(
    [
        Restriction(),
        *map(Restriction, range(3)),
        *[Restriction(0, "two"), Restriction(0, "one")],
        *[Restriction(refused_by=account) for account in ("one", "two")],
        Restriction(withdrawn=True),
        Restriction(resent=True),
        Restriction(0, resent=True),
        Restriction(refused_by="two", resent=True),
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(RESTRICTIONS, min_size=1, max_size=30), st.integers(1, 8), st.sampled_from([None, 0, 1]))
def test_each_delayed_job_is_written_once_or_withdrawn(
    restrictions: list[Restriction], window: int, ended: int | None
) -> None:
    asyncio.run(write_all(restrictions, window, ended))


async def write_all(restrictions: list[Restriction], window: int, ended: int | None) -> None:
    sender = SenderUnderTest("one", "two", text=LONG, window=window * 3)
    bound = [sender.bind("one"), sender.bind("two")]
    identities = [bound[0].session.identity, bound[1].session.identity, "ended"]
    sources = [sender.delayed, sender.make_source("p.jobs.r.immediate.delay.30s.v1", 36_000)]
    sender.dispatch.sources = (sender.jobs, *sources)
    wanted: list[int] = []
    for offset, source in enumerate(sources):
        jobs = []
        for number, restriction in enumerate(restrictions):
            recipient = number * 2 + offset
            session = restriction.session
            segments = () if session is None else (2,)
            refused_by = (restriction.refused_by,) if restriction.refused_by else ()
            identity = "" if session is None else identities[session]
            made = job(recipient, attempt=2, segments=segments, session=identity, refused_by=refused_by)
            if restriction.resent:
                made.resends, made.unanswered_by = 1, ("one",)
            jobs.append(made)
            if not restriction.withdrawn:
                wanted.append(recipient)
        jobs += [withdrawal_of(jobs[number]) for number, each in enumerate(restrictions) if each.withdrawn]
        sender.feed(source, jobs)
    sender.write_ready()
    if ended is not None:
        await bound[ended].end()
    written: list[str] = []
    for _ in range(4 * len(wanted) + 10):
        sender.write_ready()
        for each in bound:
            written += each.take()
            if each.session.closed.is_set():
                each.open.clear()
            each.answer(*[0] * len(each.open))
        sender.dispatch.settle_unsent()
        sender.beat(*sources)
    # Of those that only the ended account may take, a copy waits on the delay topic again.
    anew = {each.recipient_id for each in sender.committed_retries}
    pending = [offset for source in sources for offset in source.progress.pending]
    assert not pending, "each has an outcome"
    assert all(source.empty for source in sources)
    assert set(map(number_of, wanted)) == set(written) | set(map(number_of, anew & set(wanted)))
    if ended is None:
        assert not anew
        kept = {(0, None), (1, None), (0, "two")}
        parts = [1 if (each.session, each.refused_by) in kept else 3 for each in restrictions]
        assert Counter(written) == {number_of(each): parts[each // 2] for each in wanted}


@pytest.mark.parametrize("end", ["stop", "expiry"])
async def test_what_a_dead_sender_may_have_sent_is_unknown_after_a_stop_or_an_expiry(end: str) -> None:
    sender = SenderUnderTest()
    source = sender.make_source("p.jobs.r.immediate.v1", 0, Position(0, 2, (0,), 4, "dead"))
    sender.dispatch.sources = (source,)
    sender.feed(source, [job(number) for number in range(7)])
    if end == "stop":
        sender.view.stopped[ALERT] = 1
    else:
        sender.view.controls[ALERT] = msgspec.structs.replace(sender.view.controls[ALERT], expires_at=1)
    sender.dispatch.settle_unsent()
    final = Outcome.CANCELLED if end == "stop" else Outcome.EXPIRED
    assert sender.outcomes() == [(number, Outcome.UNKNOWN) for number in (0, 2, 3)] + [
        (number, final) for number in (4, 5, 6)
    ]
    assert [status.possible_duplicate for status in sender.statuses()] == [True] * 3 + [False] * 3
    assert "an earlier attempt or sender may have sent it" in sender.statuses()[0].reason
    assert not source.progress.pending


async def test_what_waits_anew_keeps_its_mark_if_a_dead_sender_may_have_sent_it() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    found = Position(0, 0, (), 2, "dead")
    source = sender.make_source("p.jobs.r.immediate.delay.5s.v1", DELAY_MS * 6 // 5, found)
    sender.dispatch.sources = (source,)
    refused = [job(number, attempt=2, refused_by=("one",)) for number in range(4)]
    contents = one.binds.breaker.contents
    contents.note([content_of(refused[0])], (), monotonic(), other_faults=False)
    contents.note((), [("b" * 36, 0, "")], monotonic(), other_faults=False)
    sender.feed(source, refused)
    sender.write_ready()
    assert one.take() == []
    assert [each.possible_duplicate for each in sender.retries()] == [True, True, False, False]
