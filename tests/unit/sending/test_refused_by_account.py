"""What one account refuses, or does not answer, goes by another."""

from typing import Any

import pytest

from broadcast.clock import monotonic
from broadcast.sending.accounts.health.contents import content_of
from broadcast.smpp.codec.command_status import RINVSRCADR, RSYSERR
from schemas.status import Outcome
from tests.support.dispatch import LONG, BoundSession, SenderUnderTest, job, number_of


async def test_what_an_account_refused_goes_to_another_account_only() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.delayed, [job(number, attempt=2, refused_by=("one",)) for number in range(1, 6)])
    for _ in range(4):
        sender.write_ready()
    assert one.take() == []
    assert two.take() == list(map(number_of, range(1, 6)))


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


@pytest.mark.parametrize("fields", [{"binds": 4}, {"bind_mode": "transmitter_receiver", "transmitters": 4}])
async def test_a_mute_bind_takes_its_own_share_of_what_is_in_doubt_and_the_others_go_on(fields: dict[str, Any]) -> None:
    sender = SenderUnderTest(in_doubt_limit=40, window=100, **fields)
    mute, *good = [sender.bind() for _ in range(4)]
    sender.feed(sender.jobs, [job(number) for number in range(400)])
    for _ in range(6):
        sender.write_ready()
        written = [len(each.take()) for each in good]
        assert written == [10, 10, 10]
        for each in good:
            each.answer(*[0] * len(each.open))
        sender.beat()
    assert len(mute.take()) == 10


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


async def test_what_an_account_refused_goes_by_it_when_no_other_account_works() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.delayed, [job(number, attempt=2, refused_by=("one",)) for number in range(5)])
    two.session.pause_writing()
    sender.write_ready()
    assert (one.take(), two.take()) == ([], []), "the other one works, and only has no room"
    await two.end()
    assert write_all(sender, one) == [list(map(number_of, range(5)))], "also what was set aside for the other"
    one.answer(*[0] * 5)
    assert [outcome for _, outcome in sender.outcomes()] == [Outcome.ACCEPTED] * 5
    assert sender.retries() == []


async def test_a_probe_is_made_of_what_the_account_refused_when_no_other_account_works() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    breaker = one.binds.breaker
    breaker.note_answers(20, 20, map(str, range(20)), "ESME_RINVSRCADR", 0.0)
    sender.feed(sender.delayed, [job(number, attempt=2, refused_by=("one",)) for number in range(5)])
    assert write_all(sender, one) == [[]]
    breaker.tick(breaker.next_probe_at)
    assert write_all(sender, one) == [list(map(number_of, range(5)))]


async def test_a_message_that_the_only_working_account_refuses_while_it_takes_others_waits_for_another() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    refused = job(1, attempt=2, refused_by=("one",))
    contents, now = one.binds.breaker.contents, monotonic()
    contents.note([content_of(refused)], (), now, other_faults=False)
    contents.note((), [("b" * 36, 0, "")], now, other_faults=False)
    sender.feed(sender.delayed, [refused])
    assert write_all(sender, one) == [[]]
    [again] = sender.retries()
    assert (again.attempt, again.refused_by) == (2, ("one",))
    assert sender.outcomes() == [], "nobody is rejected: the other account may take it"


async def test_what_the_same_account_refuses_again_is_no_refusal_by_two() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    sender.feed(sender.delayed, [job(1, attempt=2, refused_by=("one",))])
    sender.write_ready()
    assert one.take() == [number_of(1)]
    contents = one.binds.breaker.contents
    contents.note([content_of(job(1))], (), monotonic(), other_faults=False)
    contents.note((), [("b" * 36, 0, "")], monotonic(), other_faults=False)
    one.answer(RINVSRCADR)
    [again] = sender.retries()
    assert (again.attempt, again.refused_by) == (3, ("one",)), "the other account goes first, if it works by then"
    assert sender.outcomes() == [(1, Outcome.REFUSED_FOR_NOW)]


async def test_parts_that_an_account_takes_of_what_it_refused_before_stay_on_its_session() -> None:
    sender = SenderUnderTest("one", "two", text=LONG)
    one = sender.bind("one")
    sender.feed(sender.delayed, [job(1, attempt=2, refused_by=("one",))])
    sender.write_ready()
    one.take()
    one.answer(0, RSYSERR, 0)
    [again] = sender.retries()
    assert (again.segments, again.session, again.refused_by) == ((2,), one.session.identity, ())


def resend(number: int) -> Any:
    return job(number, attempt=2, resends=1, unanswered_by=("one",), possible_duplicate=True)


def write_all(sender: SenderUnderTest, *bound: BoundSession) -> list[list[str]]:
    written: list[list[str]] = [[] for _ in bound]
    for _ in range(6):
        sender.write_ready()
        for index, each in enumerate(bound):
            written[index] += each.take()
    return written


async def test_a_resend_goes_to_an_account_that_left_no_copy_unanswered() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    sender.feed(sender.delayed, [*map(resend, range(5)), job(9, attempt=2)])
    by_one, by_two = write_all(sender, one, two)
    assert set(by_one) <= {number_of(9)}
    assert sorted([*by_one, *by_two]) == [*map(number_of, range(5)), number_of(9)]


async def test_a_resend_goes_to_the_account_that_was_silent_if_no_other_works() -> None:
    sender = SenderUnderTest("one", "two")
    one = sender.bind("one")
    sender.feed(sender.delayed, map(resend, range(5)))
    assert write_all(sender, one) == [list(map(number_of, range(5)))]


async def test_a_probe_takes_no_resend_while_another_account_works() -> None:
    sender = SenderUnderTest("one", "two", "three")
    one, two, three = sender.bind("one"), sender.bind("two"), sender.bind("three")
    for each in (one, two):
        each.binds.breaker.note_loss("mute session", 0.0, unanswered=10, mute=True)
        each.binds.breaker.tick(each.binds.breaker.next_probe_at)
    sender.feed(sender.delayed, map(resend, range(5)))
    assert write_all(sender, one, two, three) == [[], [], list(map(number_of, range(5)))]
    await three.end()
    sender.feed(sender.delayed, map(resend, range(5, 10)), first=5)
    by_one, by_two = write_all(sender, one, two)
    assert by_one + by_two, "a probe is better than nothing"


async def test_a_probe_after_silence_is_one_message() -> None:
    sender = SenderUnderTest("one", "two")
    one, two = sender.bind("one"), sender.bind("two")
    one.binds.breaker.note_loss("mute session", 0.0, unanswered=10, mute=True)
    one.binds.breaker.tick(one.binds.breaker.next_probe_at)
    sender.feed(sender.jobs, map(job, range(30)))
    by_one, by_two = write_all(sender, one, two)
    assert len(by_one) == 1
    assert sorted(by_one + by_two) == list(map(number_of, range(30)))


async def test_a_poor_account_gets_a_tenth_of_the_segments_of_a_good_one() -> None:
    sender = SenderUnderTest("good", "poor", window=20)
    good, poor = sender.bind("good"), sender.bind("poor")
    poor.binds.poor = True
    sender.feed(sender.jobs, map(job, range(900)))
    counts = [0, 0]
    for _ in range(200):
        sender.write_ready()
        for index, each in enumerate((good, poor)):
            written = each.take()
            counts[index] += len(written)
            each.answer(*[0] * len(written))
        sender.beat()
    assert sum(counts) == 900
    assert 0.05 <= counts[1] / counts[0] <= 0.15
