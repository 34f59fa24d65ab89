"""One message that an account refuses does not stop the only account that works; an account that takes nothing is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alarms import MESSAGE_REFUSED
from broadcast.clock import monotonic
from broadcast.sending.accounts.health.breaker import LEAST_ANSWERS, Breaker, State
from broadcast.sending.accounts.health.contents import ACCEPTED_SECONDS, CONTENTS_LIMIT, Content, RefusedContents
from broadcast.smpp.codec.command_status import RINVSRCADR, RSYSERR
from schemas.status import Outcome
from tests.support.dispatch import ALERT, LONG, BoundSession, SenderUnderTest, job, number_of

OTHER_ALERT = "b" * 36
CONTENTS: list[Content] = [(letter * 36, 0, "") for letter in "abc"]
NUMBERS = [f"+4477009{number:05d}" for number in range(100)]


def answer(breaker: Breaker, content: Content, accepted: bool, number: int, *, other_faults: bool = False) -> None:
    now = number / 1_000
    taken = (content,) if accepted else ()
    breaker.contents.note(() if accepted else (content,), taken, now, other_faults=other_faults)
    numbers = () if accepted else (NUMBERS[number % len(NUMBERS)],)
    breaker.note_answers(1, int(not accepted), numbers, "" if accepted else "ESME_RINVSRCADR", now)


def only_account() -> Breaker:
    breaker = Breaker(10)
    breaker.only_account = True
    return breaker


def allow_other_alert(sender: SenderUnderTest) -> None:
    sender.view.controls[OTHER_ALERT] = msgspec.structs.replace(sender.view.controls[ALERT], alert_id=OTHER_ALERT)


def write_jobs_of_two_alerts(sender: SenderUnderTest, bound: BoundSession) -> None:
    """45 jobs are written, the first 15 of the other alert."""
    allow_other_alert(sender)
    jobs = [job(number) for number in range(45)]
    for each in jobs[:15]:
        each.alert_id = OTHER_ALERT
    sender.feed(sender.jobs, jobs)
    sender.write_ready()
    bound.take()


@given(st.lists(st.integers(1, LEAST_ANSWERS - 2), min_size=1, max_size=30))
def test_one_message_never_stops_the_only_account_that_works_while_it_takes_others(refusals: list[int]) -> None:
    breaker, number = only_account(), 0
    for count in refusals:
        for _ in range(count):
            number += 1
            answer(breaker, CONTENTS[0], False, number)
        answer(breaker, CONTENTS[1], True, number)
        assert breaker.state is State.CLOSED


@given(st.lists(st.sampled_from(CONTENTS), min_size=LEAST_ANSWERS, max_size=60), st.booleans())
def test_an_account_that_refuses_everything_is_stopped_after_twenty_answers_alone_or_not(
    contents: list[Content], is_only_account: bool
) -> None:
    breaker = Breaker(10)
    breaker.only_account = is_only_account
    for number, content in enumerate(contents[:LEAST_ANSWERS]):
        answer(breaker, content, False, number)
    assert breaker.state is State.OPEN


@given(st.lists(st.booleans(), min_size=40, max_size=40))
def test_where_another_account_works_one_message_stops_an_account_as_any_fault_does(accepted: list[bool]) -> None:
    one, another = Breaker(10), Breaker(10)
    for number, each in enumerate(accepted):
        answer(one, CONTENTS[1] if each else CONTENTS[0], each, number)
        answer(another, CONTENTS[0], each, number)
    assert one.state == another.state


def test_two_messages_that_are_refused_stop_the_only_account() -> None:
    breaker = only_account()
    for number in range(60):
        answer(breaker, CONTENTS[number % 3], number % 3 == 0, number)
    assert breaker.state is State.OPEN


def test_submits_without_an_answer_say_nothing_of_the_message_and_stop_the_only_account() -> None:
    breaker = only_account()
    for number in range(60):
        answer(breaker, CONTENTS[number % 2], number % 2 == 0, number, other_faults=True)
    assert breaker.state is State.OPEN


def test_a_probe_in_which_one_message_of_several_is_refused_has_succeeded() -> None:
    breaker = only_account()
    for number in range(LEAST_ANSWERS):
        answer(breaker, CONTENTS[0], False, number)
    assert breaker.room == 0
    breaker.tick(breaker.next_probe_at)
    breaker.probe.note_written(10)
    for number, accepted in enumerate([False] * 9 + [True], LEAST_ANSWERS):
        assert breaker.state is State.HALF_OPEN
        answer(breaker, CONTENTS[int(accepted)], accepted, number)
    assert breaker.state is State.CLOSED


def test_an_acceptance_of_another_message_some_time_ago_does_not_keep_the_only_account() -> None:
    breaker = only_account()
    breaker.contents.note((), CONTENTS[1:2], -ACCEPTED_SECONDS, other_faults=False)
    for number in range(1, 1 + LEAST_ANSWERS):
        answer(breaker, CONTENTS[0], False, number)
    assert breaker.state is State.OPEN


def test_the_contents_that_are_remembered_are_few() -> None:
    contents = RefusedContents()
    for number in range(3 * CONTENTS_LIMIT):
        contents.note([("a" * 36, number, "")], (), 0.0, other_faults=False)
        assert len(contents._refused) <= CONTENTS_LIMIT


@given(st.lists(st.tuples(st.sampled_from(CONTENTS), st.booleans()), max_size=40))
def test_a_message_is_to_blame_only_if_it_alone_is_refused_and_another_was_accepted_since(
    answers: list[tuple[Content, bool]],
) -> None:
    contents = RefusedContents()
    for number, (content, accepted) in enumerate(answers):
        taken = {content} if accepted else set()
        contents.note({content} - taken, taken, number / 1_000, other_faults=False)
    refused = {content for content, accepted in answers if not accepted}
    blamed = [content for content in CONTENTS if contents.blames(content, 0.1)]
    if len(refused) != 1:
        assert not blamed
        return
    [content] = refused
    since = answers[answers.index((content, False)) :]
    accepted_since = {each for each, accepted in since if accepted}
    assert blamed == ([content] if accepted_since and content not in accepted_since else [])
    assert not contents.blames(content, 0.1 + ACCEPTED_SECONDS), "long ago"
    assert contents.accepts_beside(content, 0.1) is bool(accepted_since)


async def test_an_account_that_begins_to_refuse_everything_rejects_nobody_though_it_took_others_just_before() -> None:
    sender = SenderUnderTest(window=100)
    bound = sender.bind()
    write_jobs_of_two_alerts(sender, bound)
    bound.answer(*[0] * 15, *[RINVSRCADR] * 30)
    outcomes = [status.outcome for status in sender.statuses()]
    assert outcomes == [Outcome.ACCEPTED] * 15 + [Outcome.REFUSED_FOR_NOW] * 30
    assert [each.attempt for each in sender.retries()] == [2] * 30


async def test_a_probe_takes_some_of_another_message_where_there_is_one() -> None:
    sender = SenderUnderTest(window=100)
    bound = sender.bind()
    allow_other_alert(sender)
    sender.feed(sender.jobs, [job(number) for number in range(60)])
    sender.write_ready()
    bound.take()
    bound.answer(*[RINVSRCADR] * len(bound.open))
    sender.beat()
    others = [job(number, attempt=2) for number in range(100, 130)]
    for each in others:
        each.alert_id = OTHER_ALERT
    sender.feed(sender.delayed, others)
    sender.feed(sender.jobs, [job(number) for number in range(200, 230)], first=60)
    breaker = sender.accounts.in_force[0].breaker
    breaker.tick(breaker.next_probe_at)
    sender.write_ready()
    written = bound.take()
    assert len(written) == 10
    assert sum(number >= number_of(200) for number in written) == 5


def stop(sender: SenderUnderTest) -> Breaker:
    """Stop the account, and begin the probe that follows."""
    breaker = sender.accounts.in_force[0].breaker
    numbers = map(str, range(LEAST_ANSWERS))
    breaker.note_answers(LEAST_ANSWERS, LEAST_ANSWERS, numbers, "ESME_RINVSRCADR", monotonic())
    breaker.tick(breaker.next_probe_at)
    return breaker


def probe_again(sender: SenderUnderTest, bound: BoundSession) -> list[str]:
    """Refuse the whole probe, and begin the next; what it takes."""
    bound.answer(*[RINVSRCADR] * len(bound.open))
    sender.beat()
    breaker = sender.accounts.in_force[0].breaker
    assert breaker.state is State.OPEN
    breaker.tick(breaker.next_probe_at)
    return take_probe(sender, bound)


def take_probe(sender: SenderUnderTest, bound: BoundSession) -> list[str]:
    written = []
    for _ in range(5):
        sender.write_ready()
        written += bound.take()
        sender.beat()
    return written


@pytest.mark.parametrize("delayed", [False, True])
async def test_a_probe_takes_another_message_that_waits_behind_the_refused_one_in_the_same_partition(
    delayed: bool,
) -> None:
    sender = SenderUnderTest(window=100)
    bound = sender.bind()
    allow_other_alert(sender)
    jobs = [job(number, attempt=1 + delayed) for number in range(300)]
    for each in jobs[200:]:
        each.alert_id = OTHER_ALERT
    source = sender.delayed if delayed else sender.jobs
    sender.feed(source, jobs)
    stop(sender)
    written = take_probe(sender, bound)
    assert len(written) == 10
    assert sum(number >= number_of(200) for number in written) >= 3
    bound.answer(*[0 if number >= number_of(200) else RINVSRCADR for number in written])
    assert sender.accounts.in_force[0].breaker.state is State.CLOSED
    for _ in range(20):
        sender.write_ready()
        bound.answer(*[0] * len(bound.take()))
        sender.beat()
    outcomes = {status.recipient_id: status.outcome for status in sender.committed_statuses}
    assert outcomes.keys() == set(range(300)), "nobody is left out"
    assert len(sender.committed_statuses) == 300, "nobody goes twice"
    assert {outcomes[number] for number in range(200, 300)} == {Outcome.ACCEPTED}
    assert source.empty
    assert not source.progress.pending


async def test_a_probe_of_long_messages_begins_with_another_message_than_the_one_before() -> None:
    sender = SenderUnderTest(window=100, text=LONG * 2)
    bound = sender.bind()
    allow_other_alert(sender)
    jobs = [job(number) for number in range(100)]
    for each in jobs[50:]:
        each.alert_id = OTHER_ALERT
    sender.feed(sender.jobs, jobs)
    stop(sender)
    probes = [take_probe(sender, bound), *[probe_again(sender, bound) for _ in range(3)]]
    assert [number >= number_of(50) for number, *_ in probes] == [False, True, False, True]


async def test_a_probe_after_silence_is_one_message_and_the_next_probe_is_another() -> None:
    sender = SenderUnderTest(window=100)
    bound = sender.bind()
    allow_other_alert(sender)
    jobs = [job(number) for number in range(100)]
    for each in jobs[50:]:
        each.alert_id = OTHER_ALERT
    sender.feed(sender.jobs, jobs)
    breaker = sender.accounts.in_force[0].breaker
    probes = []
    for _ in range(4):
        breaker.note_loss("mute session", monotonic(), unanswered=10, mute=True)
        breaker.tick(breaker.next_probe_at)
        probes.append(take_probe(sender, bound))
    assert [len(probe) for probe in probes] == [1, 1, 1, 1]
    assert [number >= number_of(50) for [number] in probes] == [False, True, False, True]


@pytest.mark.parametrize("accounts", [("acc",), ("acc", "other")])
async def test_the_only_account_goes_on_with_other_alerts_and_the_refused_one_is_an_alarm(
    accounts: tuple[str, ...],
) -> None:
    sender = SenderUnderTest(*accounts, window=100)
    bound = sender.bind()
    allow_other_alert(sender)
    jobs = [job(number) for number in range(60)]
    for each in jobs[::4]:
        each.alert_id = OTHER_ALERT
    others = {number_of(each.recipient_id) for each in jobs[::4]}
    sender.feed(sender.jobs, jobs)
    for _ in range(10):
        sender.write_ready()
        written = bound.take()
        bound.answer(*[0 if number in others else RINVSRCADR for number in written])
    binds = sender.accounts.in_force[0]
    assert binds.breaker.state is State.CLOSED
    assert sender.jobs.empty
    assert [(kind, subject) for kind, subject, _ in sender.alarms] == [(MESSAGE_REFUSED, ALERT)]
    assert "ESME_RINVSRCADR" in sender.alarms[0][2]
    assert [status.outcome for status in sender.statuses()].count(Outcome.ACCEPTED) == 15


async def test_another_message_that_is_refused_for_now_does_not_speak_for_the_only_account() -> None:
    sender = SenderUnderTest(window=100)
    bound = sender.bind()
    write_jobs_of_two_alerts(sender, bound)
    bound.answer(*[RSYSERR] * 15, *[RINVSRCADR] * 30)
    assert sender.accounts.in_force[0].breaker.state is State.OPEN
    assert sender.alarms == []
