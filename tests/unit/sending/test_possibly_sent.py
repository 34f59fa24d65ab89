"""Whoever may have been sent a message gets no outcome that says nothing was sent."""

import math
from collections.abc import Callable
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.position import Position
from broadcast.routing import ResendUnanswered
from broadcast.sending.answers.sequel import MOST_COPIES
from broadcast.smpp.codec.command_status import RINVDSTADR, RSYSERR
from schemas.control import Control
from schemas.job import Job
from schemas.status import (
    STATE_OF_OUTCOME,
    DeliveryState,
    Fact,
    Outcome,
    Status,
    state_of_recipient,
)
from tests.support.dispatch import ALERT, LONG, SenderUnderTest, job

COUNT: Final = 6
DELAYED_TOPIC: Final = "p.jobs.r.immediate.delay.5s.v1"


def _change(**fields: object) -> Callable[[SenderUnderTest], None]:
    def change(sender: SenderUnderTest) -> None:
        control = sender.view.controls[ALERT]
        sender.view.controls[ALERT] = msgspec.structs.replace(control, **fields)

    return change


def _stop(sender: SenderUnderTest) -> None:
    sender.view.stopped[ALERT] = 1


def _lose_control(sender: SenderUnderTest) -> None:
    del sender.view.controls[ALERT]


def _long_text(sender: SenderUnderTest) -> None:
    control: Control = sender.view.controls[ALERT]
    variant = msgspec.structs.replace(control.variants[0], text="x" * 1_500)
    sender.view.controls[ALERT] = msgspec.structs.replace(control, variants=(variant,))


ENDS: Final[dict[str, tuple[Callable[[SenderUnderTest], None], Outcome]]] = {
    "stop": (_stop, Outcome.CANCELLED),
    "expiry": (_change(expires_at=1), Outcome.EXPIRED),
    "no control record": (_lose_control, Outcome.FAILED),
    "a status that the route may not carry": (_change(status="Nonsense"), Outcome.FAILED),
    "no such variant": (_change(variants=()), Outcome.FAILED),
    "a text that is too long": (_long_text, Outcome.FAILED),
    "an account that is gone": (_change(trial=True, account="gone"), Outcome.FAILED),
}
"""Each way in which jobs get an outcome without a submit, and that outcome where nothing can have been sent."""


def settle(sender: SenderUnderTest, jobs: list[Job], end: str, horizon: int, *, delayed: bool) -> list[Status]:
    """What becomes of jobs at the offsets from 0 on, taken over with this horizon from a dead sender."""
    found = Position(0, 0, (), horizon, "dead")
    source = sender.make_source(DELAYED_TOPIC if delayed else "p.jobs.r.immediate.v1", 6_000 if delayed else 0, found)
    sender.dispatch.sources = (source,)
    sender.feed(source, jobs)
    ENDS[end][0](sender)
    for _ in range(len(jobs) + 2):
        # A job that waits for its control record is looked at twice.
        sender.view.caught_up_at = math.inf
        sender.dispatch.settle_unsent()
    assert not source.progress.pending
    assert source.empty
    return sender.statuses()


@given(
    st.sampled_from(sorted(ENDS)),
    st.integers(0, COUNT),
    st.lists(st.sampled_from(["", "possible_duplicate", "segments"]), min_size=COUNT, max_size=COUNT),
    st.booleans(),
)
async def test_only_what_no_sender_can_have_written_gets_an_outcome_of_its_own(
    end: str, horizon: int, marks: list[str], delayed: bool
) -> None:
    sender = SenderUnderTest()
    fields: dict[str, dict[str, object]] = {"possible_duplicate": {"possible_duplicate": True}, "": {}}
    # Some segments of a message may have been taken; a job of the plain topic has all of them.
    fields["segments"] = {"segments": (1,), "session": "gone", "attempt": 2} if delayed else {}
    jobs = [job(number, **fields[mark]) for number, mark in enumerate(marks)]
    statuses = settle(sender, jobs, end, horizon, delayed=delayed)
    assert [status.recipient_id for status in statuses] == list(range(COUNT))
    for number, (status, mark) in enumerate(zip(statuses, marks, strict=True)):
        doubted = number < horizon or mark == "possible_duplicate" or bool(jobs[number].segments)
        assert status.outcome is (Outcome.UNKNOWN if doubted else ENDS[end][1]), (number, mark)
        assert status.possible_duplicate is doubted
        assert ("may have sent" in status.reason) is doubted, status.reason
        assert status.segment == 0
        assert status.submitted_at == 0


async def test_a_number_that_is_no_address_below_the_horizon_is_unknown() -> None:
    sender = SenderUnderTest()
    sender.bind()
    source = sender.make_source("p.jobs.r.immediate.v1", 0, Position(0, 0, (), 1, "dead"))
    sender.dispatch.sources = (source,)
    sender.feed(source, [Job(ALERT, number, "+" + "4" * 40) for number in range(2)])
    sender.write_ready()
    assert sender.outcomes() == [(0, Outcome.UNKNOWN), (1, Outcome.FAILED)]


async def test_a_message_whose_sessions_end_again_and_again_is_unknown_at_the_end() -> None:
    sender = SenderUnderTest(text=LONG)
    sender.bind()
    sender.feed(sender.delayed, [job(1, attempt=5, segments=(2,), session="ended", copies=MOST_COPIES)])
    sender.write_ready()
    [status] = sender.statuses()
    assert (status.outcome, status.possible_duplicate) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize("end", ["stop", "expiry"])
async def test_a_copy_that_is_refused_for_now_keeps_the_doubt_about_the_one_before(end: str) -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    source = sender.make_source("p.jobs.r.immediate.v1", 0, Position(0, 0, (), 1, "dead"))
    sender.dispatch.sources = (source,)
    sender.feed(source, [job(1)])
    sender.write_ready()
    bound.take()
    bound.answer(RSYSERR)
    [status], [retry] = sender.statuses(), sender.retries()
    assert status.outcome is Outcome.REFUSED_FOR_NOW
    ENDS[end][0](sender)
    other = SenderUnderTest()
    ENDS[end][0](other)
    retry.due_at = 0
    other.feed(other.delayed, [retry])
    other.dispatch.settle_unsent()
    assert state_of([status, *other.statuses()]) is DeliveryState.UNKNOWN


async def test_a_copy_that_is_refused_for_good_keeps_the_doubt_about_the_one_before() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    source = sender.make_source("p.jobs.r.immediate.v1", 0, Position(0, 0, (), 1, "dead"))
    sender.dispatch.sources = (source,)
    sender.feed(source, [job(1), job(2)])
    sender.write_ready()
    assert len(bound.take()) == 2
    bound.answer(RINVDSTADR, RINVDSTADR)
    statuses = sender.statuses()
    assert state_of([each for each in statuses if each.recipient_id == 1]) is DeliveryState.UNKNOWN
    assert state_of([each for each in statuses if each.recipient_id == 2]) is DeliveryState.REJECTED


async def test_a_late_refusal_keeps_the_doubt_about_the_copy_before() -> None:
    sender = SenderUnderTest(resend_unanswered=ResendUnanswered(immediate=0))
    bound = sender.bind()
    source = sender.make_source("p.jobs.r.immediate.v1", 0, Position(0, 0, (), 1, "dead"))
    sender.dispatch.sources = (source,)
    sender.feed(source, [job(1)])
    sender.write_ready()
    bound.take()
    sender.settlement.give_up(source.progress.unanswered(), 1)
    bound.answer(RINVDSTADR)
    statuses = sender.statuses()
    assert Outcome.REFUSED in {status.outcome for status in statuses}
    assert state_of(statuses) is DeliveryState.UNKNOWN


async def test_what_is_known_later_settles_the_unknown() -> None:
    sender = SenderUnderTest()
    [unknown] = settle(sender, [job(1)], "stop", 1, delayed=False)
    accepted = msgspec.structs.replace(unknown, outcome=Outcome.ACCEPTED, segment=1, submitted_at=5, account="acc")
    assert state_of([unknown]) is DeliveryState.UNKNOWN
    assert state_of([unknown, accepted]) is DeliveryState.SUBMITTED


def state_of(statuses: list[Status]) -> DeliveryState:
    """The state of one recipient by these statuses."""
    return state_of_recipient(
        Fact(
            status.attempt,
            status.submitted_at,
            status.segment,
            status.segments,
            STATE_OF_OUTCOME[status.outcome],
            status.account or None,
            status.outcome is Outcome.ACCEPTED,
        )
        for status in statuses
    )
