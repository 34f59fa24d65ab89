"""Jobs that not every session may take: withdrawn, some segments of a copy, refused by an account, throttled."""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.clock import epoch_milliseconds
from broadcast.kafka.position import Position
from broadcast.sending.answers.sequel import MOST_COPIES, withdrawal_of
from broadcast.smpp.codec.command_status import RINVSRCADR, RSYSERR, RTHROTTLED
from broadcast.smpp.rates.pacing import Pacing
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


async def test_a_message_is_sent_whole_again_only_so_often_and_then_fails() -> None:
    sender = SenderUnderTest(text=LONG)
    one = sender.bind()
    parts: dict[str, Any] = {"attempt": 2, "segments": (2,), "session": "ended"}
    sender.feed(sender.delayed, [job(1, **parts, copies=MOST_COPIES - 1), job(2, **parts, copies=MOST_COPIES)])
    for _ in range(2):
        sender.write_ready()
    assert one.take() == [number_of(1)] * 3
    one.answer(0, RSYSERR, 0)
    assert (2, Outcome.FAILED) in sender.outcomes()
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


async def test_what_was_set_aside_is_cancelled_by_a_stop() -> None:
    sender, one, _ = two_sessions()
    one.session.pause_writing()
    sender.feed(sender.delayed, [job(1, attempt=2, segments=(2,), session=one.session.identity)])
    sender.write_ready()
    sender.view.stopped.add(ALERT)
    sender.dispatch.settle_unsent()
    assert sender.outcomes() == [(1, Outcome.CANCELLED)]
    assert sender.delayed.empty
    assert not sender.delayed.progress.pending


async def test_what_an_account_refused_goes_to_another_account_only() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.delayed, [job(number, attempt=2, refused_by=("one",)) for number in range(1, 6)])
    for _ in range(4):
        sender.write_ready()
    assert one.take() == []
    assert two.take() == list(map(number_of, range(1, 6)))


async def test_what_no_account_may_take_now_waits_on_its_delay_topic_as_the_same_attempt() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    sender.feed(sender.delayed, [job(1, attempt=2, refused_by=("one",)), job(2, attempt=2)])
    sender.write_ready()
    assert one.take() == [number_of(2)], "it holds up no other"
    [again] = sender.retries()
    assert (again.recipient_id, again.attempt, again.refused_by) == (1, 2, ("one",))
    assert 0 < again.due_at - epoch_milliseconds() <= DELAY_MS
    assert sender.outcomes() == []
    assert list(sender.delayed.progress.pending) == [1]


def allow_all(bound: BoundSession) -> None:
    """The rate allows everything again."""
    bound.session.pacing = Pacing(None, 0.0)  # type: ignore[misc]
    bound.session._writing_paused = False


@pytest.mark.parametrize("text", ["short", LONG])
async def test_a_throttled_submit_goes_again_on_its_session_before_new_jobs(text: str) -> None:
    parts = 1 if text == "short" else 3
    sender = SenderUnderTest(text=text)
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1), job(2)])
    sender.write_ready()
    assert bound.take() == [number_of(1)] * parts + [number_of(2)] * parts
    bound.session._writing_paused = True
    bound.answer(*[RTHROTTLED] * parts)
    sender.feed(sender.jobs, [job(3)], first=2)
    allow_all(bound)
    sender.write_ready()
    assert bound.take() == [number_of(1)] * parts + [number_of(3)] * parts
    bound.answer(*[0] * 3 * parts)
    assert sender.outcomes() == [(number, Outcome.ACCEPTED) for number in (2, 1, 3) for _ in range(parts)]
    assert sender.settlement.in_doubt == 3 * parts, "each once"
    sender.beat()
    assert sender.settlement.in_doubt == 0


async def test_a_status_that_an_account_calls_throttled_slows_its_bind_as_well() -> None:
    sender = SenderUnderTest(command_status={"0x0401": "throttled"}, window=20)
    bound = sender.bind()
    sender.feed(sender.jobs, [job(number) for number in range(20)])
    sender.write_ready()
    bound.take()
    bound.session._writing_paused = True
    bound.answer(*[0x401] * 20)
    bound.session._writing_paused = False
    assert bound.session.room == 0
    assert sender.outcomes() == []


async def test_a_throttled_submit_goes_again_though_another_session_is_first_and_has_no_job() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.jobs, [job(number) for number in range(20)])
    for _ in range(3):
        sender.write_ready()
    written = {bound: bound.take() for bound in (one, two)}
    throttling = max(written, key=lambda bound: len(written[bound]))
    (two if throttling is one else one).answer(*[0] * len(written[two if throttling is one else one]))
    count = len(written[throttling])
    throttling.answer(*[RTHROTTLED, *[0] * (count - 1)])
    throttling.session.pacing._paused_until = 0.0
    sender.write_ready()
    assert throttling.take() == written[throttling][:1]


async def test_a_throttled_submit_of_a_stopped_alert_does_not_go_again() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    bound.take()
    bound.session._writing_paused = True
    bound.answer(RTHROTTLED)
    sender.view.stopped.add(ALERT)
    allow_all(bound)
    sender.write_ready()
    assert bound.take() == []
    assert sender.outcomes() == [(1, Outcome.REFUSED_FOR_NOW)]
    assert [each.attempt for each in sender.retries()] == [2], "its delay topic cancels it"


async def test_what_a_session_was_throttled_with_is_a_retry_when_it_ends_or_gets_no_work() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.jobs, [job(number) for number in range(1, 4)])
    sender.write_ready()
    first = one if one.take() else two
    first.take()
    first.session.pacing._paused_until = float("inf")
    first.answer(*[RTHROTTLED] * len(first.open))
    await first.end()
    sender.write_ready()
    assert sorted(sender.outcomes()) == [(number, Outcome.REFUSED_FOR_NOW) for number in (1, 2, 3)]
    assert not any(each.possible_duplicate for each in sender.retries())
    assert not sender.jobs.progress.pending


async def test_a_mute_account_takes_its_own_share_of_what_is_in_doubt_and_no_more() -> None:
    sender = SenderUnderTest("mute", "good", in_doubt_limit=40, window=100)
    mute, good = sender.bind("mute"), sender.bind("good")
    sender.feed(sender.jobs, [job(number) for number in range(400)])
    for _ in range(10):
        sender.write_ready()
        good.take()
        good.answer(*[0] * len(good.open))
        sender.beat()
    written = len(mute.take())
    assert written == 20
    assert sender.settlement.in_doubt_of(mute.session.identity) == 20
    assert sender.settlement.in_doubt_of(good.session.identity) <= 20


async def test_what_one_account_refuses_is_sent_by_the_other_and_arrives() -> None:
    sender = SenderUnderTest("bad", "good")
    bad, good = sender.bind("bad"), sender.bind("good")
    sender.feed(sender.jobs, [job(number) for number in range(10)])
    sender.write_ready()
    bad.take()
    good.take()
    bad.answer(*[RINVSRCADR] * len(bad.open))
    good.answer(*[0] * len(good.open))
    retries: list[Any] = sender.retries()
    assert all(each.refused_by == ("bad",) for each in retries)
    sender.beat()
    for each in retries:
        each.due_at = 0
    sender.feed(sender.delayed, retries)
    for _ in range(3):
        sender.write_ready()
    assert len(good.take()) == len(retries)
    assert bad.take() == []


async def test_what_the_only_main_account_refuses_goes_by_the_fallback_account() -> None:
    sender = SenderUnderTest("main", "spare", fallback=("spare",))
    main, spare = sender.bind("main"), sender.bind("spare")
    sender.feed(sender.jobs, [job(number) for number in range(5)])
    sender.write_ready()
    main.take()
    assert spare.take() == [], "another account works"
    main.answer(*[RINVSRCADR] * 5)
    retries: list[Any] = sender.retries()
    sender.beat()
    for each in retries:
        each.due_at = 0
    sender.feed(sender.delayed, retries)
    sender.feed(sender.jobs, [job(9)], first=5)
    for _ in range(3):
        sender.write_ready()
    assert sorted(spare.take()) == [number_of(number) for number in range(5)]
    assert main.take() == [number_of(9)]


class Restriction(NamedTuple):
    """Which sessions may take a job: `session` is an index of the bound ones, or 2 for one that has ended."""

    session: int | None = None
    refused_by: str | None = None
    withdrawn: bool = False


RESTRICTIONS = st.sampled_from(
    [
        Restriction(),
        *map(Restriction, range(3)),
        *[Restriction(0, "two"), Restriction(0, "one")],
        *[Restriction(refused_by=account) for account in ("one", "two")],
        Restriction(withdrawn=True),
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
            jobs.append(job(recipient, attempt=2, segments=segments, session=identity, refused_by=refused_by))
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
        sender.view.stopped.add(ALERT)
    else:
        sender.view.controls[ALERT] = msgspec.structs.replace(sender.view.controls[ALERT], expires_at=1)
    sender.dispatch.settle_unsent()
    final = Outcome.CANCELLED if end == "stop" else Outcome.EXPIRED
    assert sender.outcomes() == [(number, Outcome.UNKNOWN) for number in (0, 2, 3)] + [
        (number, final) for number in (4, 5, 6)
    ]
    assert [status.possible_duplicate for status in sender.statuses()] == [True] * 3 + [False] * 3
    assert "an earlier sender may have sent it" in sender.statuses()[0].reason
    assert not source.progress.pending
