"""Submits that an SMSC throttled: again on their session before new jobs, or a retry."""

import msgspec
import pytest

from broadcast.smpp.codec.command_status import RTHROTTLED
from broadcast.smpp.rates.pacing import Pacing
from schemas.status import Outcome
from tests.support.dispatch import ALERT, LONG, BoundSession, SenderUnderTest, job, number_of
from tests.support.smpp import split_pdus


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


async def test_only_the_throttled_segment_of_a_long_message_goes_again_on_its_session() -> None:
    sender = SenderUnderTest(text=LONG)
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    first, second, third = split_pdus(b"".join(bound.wire.pieces))
    assert bound.take() == [number_of(1)] * 3
    bound.session._writing_paused = True
    bound.answer(0, RTHROTTLED, 0)
    allow_all(bound)
    sender.write_ready()
    [again] = split_pdus(b"".join(bound.wire.pieces))
    assert again.body == second.body not in {first.body, third.body}
    assert bound.take() == [number_of(1)]
    bound.answer(0)
    found = sorted((status.segment, status.outcome, status.attempt) for status in sender.statuses())
    assert found == [(segment, Outcome.ACCEPTED, 1) for segment in (1, 2, 3)]
    assert sender.retries() == []


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
    sender.view.stopped[ALERT] = 1
    allow_all(bound)
    sender.write_ready()
    assert bound.take() == []
    assert sender.outcomes() == [(1, Outcome.REFUSED_FOR_NOW)]
    assert [each.attempt for each in sender.retries()] == [2], "its delay topic cancels it"


async def test_what_is_planned_for_phones_is_neither_submitted_nor_submitted_again_by_a_simulated_route() -> None:
    sender = SenderUnderTest(simulated=True)
    bound = sender.bind()
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    assert bound.take() == [number_of(1)]
    bound.session._writing_paused = True
    bound.answer(RTHROTTLED)
    sender.view.controls[ALERT] = msgspec.structs.replace(sender.view.controls[ALERT], for_phones=True)
    allow_all(bound)
    sender.feed(sender.jobs, [job(2)], 1)
    sender.write_ready()
    assert bound.take() == []
    assert sorted(sender.outcomes()) == [(1, Outcome.REFUSED_FOR_NOW), (2, Outcome.FAILED)]


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
