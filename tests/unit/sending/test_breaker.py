"""When an account stops getting work, when it is tried again, and when it is back."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.accounts.health.breaker import (
    FIRST_PAUSE_SECONDS,
    LEAST_MUTE,
    LEAST_NUMBERS,
    LONGEST_PAUSE_SECONDS,
    LOSS_SECONDS,
    LOSSES,
    SETTLING_ANSWERS,
    STEADY_SECONDS,
    THROTTLED_SECONDS,
    TRANSITIONS,
    Breaker,
    Event,
    State,
)
from broadcast.sending.accounts.health.probe import NOTHING_MORE_SECONDS
from broadcast.smpp.rates.pacing import UNLIMITED

NUMBERS = [f"+4477009{number:05d}" for number in range(100)]
PROBE = 10


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(PROBE)
    breaker.note_answers(20, 20, NUMBERS[:20], "ESME_RINVSRCADR", at)
    assert breaker.state is State.OPEN
    return breaker


def test_every_state_has_a_way_on() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) == set(State)
    for state, event in product(State, Event):
        assert TRANSITIONS.get((state, event), state) in State


def test_an_account_that_refuses_all_is_stopped_after_twenty_answers() -> None:
    breaker = Breaker(PROBE)
    breaker.note_answers(19, 19, NUMBERS[:19], "ESME_RINVSRCADR", 0.0)
    assert (breaker.state, breaker.room) == (State.CLOSED, UNLIMITED)
    breaker.note_answers(1, 1, NUMBERS[19:20], "ESME_RINVSRCADR", 0.0)
    assert (breaker.state, breaker.room) == (State.OPEN, 0)
    assert (
        breaker.reason == "20 of the last 20 submits failed because of the account, most of them with: ESME_RINVSRCADR"
    )


def test_an_account_that_begins_to_refuse_after_a_million_acceptances_is_stopped_as_soon() -> None:
    breaker = Breaker(PROBE)
    for _ in range(10_000):
        breaker.note_answers(100, 0, (), "", 0.0)
    breaker.note_answers(20, 20, NUMBERS[:20], "ESME_RINVSRCADR", 1.0)
    breaker.note_answers(20, 20, NUMBERS[20:40], "ESME_RINVSRCADR", 1.0)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("accepted", [40, 100, 500, 10_000])
def test_twenty_refusals_after_any_number_of_acceptances_stop_the_account(accepted: int) -> None:
    breaker = Breaker(PROBE)
    breaker.note_answers(accepted, 0, (), "", 0.0)
    breaker.note_answers(19, 19, NUMBERS[:19], "ESME_RINVSRCADR", 1.0)
    assert breaker.room == UNLIMITED, "less than half"
    breaker.note_answers(20, 20, NUMBERS[:20], "ESME_RINVSRCADR", 1.0)
    assert breaker.state is State.OPEN
    one_by_one = Breaker(PROBE)
    one_by_one.note_answers(accepted, 0, (), "", 0.0)
    for number in NUMBERS[:20]:
        one_by_one.note_answers(1, 1, [number], "ESME_RINVSRCADR", 1.0)
    assert one_by_one.state is State.OPEN


@given(st.integers(40, 5_000), st.floats(0, 1), st.integers(0, 5_000))
def test_of_a_large_batch_the_share_counts_and_nothing_before_it(answers: int, share: float, accepted: int) -> None:
    breaker, faults = Breaker(PROBE), round(answers * share)
    breaker.note_answers(accepted, 0, (), "", 0.0)
    breaker.note_answers(answers, faults, NUMBERS[: min(faults, 100)], "ESME_RINVSRCADR", 1.0)
    if abs(2 * faults - answers) > 1:
        assert (breaker.state is State.OPEN) is (2 * faults > answers and faults >= LEAST_NUMBERS)


def test_exactly_half_is_enough_to_stop_an_account_and_to_fail_a_probe() -> None:
    breaker = Breaker(PROBE)
    breaker.note_answers(39, 19, NUMBERS[:19], "ESME_RINVSRCADR", 0.0)
    assert breaker.room == UNLIMITED
    breaker = Breaker(PROBE)
    breaker.note_answers(40, 20, NUMBERS[:20], "ESME_RINVSRCADR", 0.0)
    assert breaker.room == 0
    breaker.tick(breaker.next_probe_at)
    breaker.probe.note_written(4)
    breaker.note_answers(4, 2, NUMBERS[:2], "ESME_RINVSRCADR", 6.0)
    assert breaker.room == 0
    breaker.tick(breaker.next_probe_at)
    breaker.probe.note_written(5)
    breaker.note_answers(5, 2, NUMBERS[:2], "ESME_RINVSRCADR", 20.0)
    assert breaker.room == UNLIMITED


def test_one_number_that_is_refused_again_and_again_stops_no_account() -> None:
    breaker = Breaker(PROBE)
    for at in range(1_000):
        breaker.note_answers(1, 1, NUMBERS[: LEAST_NUMBERS - 1], "ESME_RINVDSTTON", float(at))
    assert breaker.state is State.CLOSED


def test_a_probe_of_a_few_submits_after_a_pause_brings_the_account_back() -> None:
    breaker = opened()
    assert not breaker.tick(FIRST_PAUSE_SECONDS - 0.1)
    assert breaker.room == 0
    assert breaker.tick(FIRST_PAUSE_SECONDS)
    assert (breaker.state, breaker.room) == (State.HALF_OPEN, PROBE)
    breaker.probe.note_written(4)
    assert breaker.room == PROBE - 4
    breaker.note_answers(3, 0, (), "", 6.0)
    assert breaker.state is State.HALF_OPEN
    breaker.note_answers(1, 0, (), "", 6.1)
    assert (breaker.state, breaker.room, breaker.reason) == (State.CLOSED, UNLIMITED, "")


def test_pauses_grow_while_probes_are_refused_and_are_short_again_after_a_good_minute() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(8):
        pauses.append(breaker.next_probe_at - now)
        now = breaker.next_probe_at
        assert breaker.tick(now)
        breaker.probe.note_written(5)
        breaker.note_answers(5, 5, NUMBERS[:5], "ESME_RINVSRCADR", now)
        assert breaker.state is State.OPEN
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    now = breaker.next_probe_at
    breaker.tick(now)
    breaker.probe.note_written(5)
    breaker.note_answers(5, 0, (), "", now)
    breaker.note_answers(20, 20, NUMBERS[:20], "ESME_RINVSRCADR", now + 1)
    assert breaker.next_probe_at - now - 1 == LONGEST_PAUSE_SECONDS, "it was closed for a second only"
    now = breaker.next_probe_at
    breaker.tick(now)
    breaker.probe.note_written(5)
    breaker.note_answers(5, 0, (), "", now)
    later = now + STEADY_SECONDS
    breaker.note_answers(20, 20, NUMBERS[:20], "ESME_RINVSRCADR", later)
    assert breaker.next_probe_at - later == FIRST_PAUSE_SECONDS


def test_a_mute_session_stops_the_account_at_once_and_a_probe_that_is_lost_stops_it_again() -> None:
    breaker = Breaker(PROBE)
    breaker.note_loss("mute session: no submit answered for 60 s", 0.0, unanswered=10, mute=True)
    assert (breaker.state, breaker.mute) == (State.OPEN, True)
    breaker.tick(FIRST_PAUSE_SECONDS)
    breaker.probe.note_written(PROBE)
    assert breaker.room == 0
    breaker.note_loss("closed by the SMSC", 70.0, unanswered=10, mute=False)
    assert breaker.state is State.OPEN


def silent() -> Breaker:
    breaker = Breaker(PROBE)
    breaker.note_loss("mute session", 0.0, unanswered=10, mute=True)
    assert breaker.tick(FIRST_PAUSE_SECONDS)
    assert (breaker.room, breaker.probe.one_message) == (PROBE, True)
    breaker.probe.note_written(3)
    assert (breaker.room, breaker.probe.one_message) == (0, False)
    return breaker


def test_a_probe_after_silence_begins_with_one_message_and_goes_on_when_that_is_answered() -> None:
    breaker = silent()
    breaker.note_answers(2, 0, (), "", 7.0)
    assert breaker.room == 0, "one of its segments is not answered"
    breaker.note_answers(1, 0, (), "", 8.0)
    assert (breaker.state, breaker.room, breaker.probe.one_message) == (State.HALF_OPEN, PROBE, False)
    breaker.probe.note_written(PROBE)
    assert not breaker.tick(100.0), "the answers to the others decide"
    breaker.note_answers(PROBE, 0, (), "", 101.0)
    assert breaker.state is State.CLOSED


def test_a_probe_after_silence_succeeds_by_one_message_when_there_is_no_more_to_send() -> None:
    breaker = silent()
    breaker.note_answers(3, 0, (), "", 8.0)
    breaker.tick(8.0 + NOTHING_MORE_SECONDS - 0.1)
    assert breaker.state is State.HALF_OPEN
    breaker.tick(8.0 + NOTHING_MORE_SECONDS)
    assert (breaker.state, breaker.reason) == (State.CLOSED, "")


def test_a_probe_of_one_message_that_nothing_answers_is_silence_too() -> None:
    breaker = silent()
    breaker.note_loss("mute session", 20.0, unanswered=1, mute=True)
    assert (breaker.state, breaker.mute) == (State.OPEN, True)
    breaker.tick(breaker.next_probe_at)
    assert breaker.probe.one_message


def test_an_account_that_throttles_everything_can_be_stopped_after_five_seconds() -> None:
    breaker = Breaker(PROBE)
    breaker.note_throttled(4, 4, 0.0)
    assert not breaker.throttles_all(THROTTLED_SECONDS - 0.1)
    assert breaker.throttles_all(THROTTLED_SECONDS)
    breaker.note_throttled(4, 3, THROTTLED_SECONDS)
    assert not breaker.throttles_all(2 * THROTTLED_SECONDS), "it has taken one"
    breaker.note_throttled(1, 1, 10.0)
    breaker.stop_throttled(10.0 + THROTTLED_SECONDS)
    assert (breaker.state, breaker.reason) == (State.OPEN, "the SMSC has throttled every submit for 5 s")
    assert breaker.tick(breaker.next_probe_at)
    breaker.note_throttled(2, 2, 20.0)
    assert (breaker.state, breaker.reason) == (State.OPEN, "the SMSC throttles the probe")
    assert breaker.tick(breaker.next_probe_at)
    breaker.probe.note_written(2)
    breaker.note_throttled(2, 1, 40.0)
    breaker.note_answers(2, 0, (), "", 40.0)
    assert breaker.state is State.CLOSED


def test_a_session_closed_for_one_lost_answer_stops_no_account() -> None:
    breaker = Breaker(PROBE)
    breaker.note_loss("mute session", 0.0, unanswered=LEAST_MUTE - 1, mute=True)
    assert breaker.room == UNLIMITED
    breaker.note_loss("mute session", 10.0, unanswered=LEAST_MUTE, mute=True)
    assert breaker.state is State.OPEN


def test_sessions_that_end_one_after_the_other_stop_the_account_and_a_restart_of_the_smsc_does_not() -> None:
    breaker = Breaker(PROBE)
    for _ in range(8):
        breaker.note_loss("closed by the SMSC", 0.0, unanswered=10, mute=False)
    assert breaker.room == UNLIMITED, "eight binds that end together are one loss"
    for at in (10.0, 20.0):
        breaker.note_loss("closed by the SMSC", at, unanswered=10, mute=False)
    assert breaker.state is State.OPEN

    busy = Breaker(PROBE)
    for loss in range(10 * LOSSES):
        busy.note_loss("closed by the SMSC", 10.0 * loss, unanswered=10, mute=False)
        busy.note_answers(100, 0, (), "", 10.0 * loss + 5)
    assert busy.state is State.CLOSED, "between the losses it has answered"


def test_good_answers_before_a_loss_do_not_count_as_after_it() -> None:
    breaker = Breaker(PROBE)
    for at in (10.0, 20.0, 30.0):
        assert breaker.state is State.CLOSED
        breaker.note_answers(SETTLING_ANSWERS - 1, 0, (), "", at - 5)
        breaker.note_loss("closed by the SMSC", at, unanswered=10, mute=False)
    assert breaker.state is State.OPEN


def test_sessions_that_end_exactly_a_second_apart_are_one_loss() -> None:
    breaker = Breaker(PROBE)
    for loss in range(2 * LOSSES):
        breaker.note_loss("closed by the SMSC", loss * LOSS_SECONDS, unanswered=10, mute=False)
    assert breaker.state is State.CLOSED


def test_an_account_that_works_again_begins_anew() -> None:
    breaker = Breaker(PROBE)
    breaker.note_throttled(4, 4, 0.0)
    for at in (10.0, 20.0, 30.0):
        breaker.note_loss("closed by the SMSC", at, unanswered=10, mute=False)
    assert breaker.room == 0
    assert not breaker.throttles_all(30.0 + THROTTLED_SECONDS), "what was before says nothing"
    breaker.tick(breaker.next_probe_at)
    for written in (1, PROBE):
        breaker.probe.note_written(written)
        breaker.note_answers(written, 0, (), "", 40.0)
    assert breaker.room == UNLIMITED
    breaker.note_loss("closed by the SMSC", 50.0, unanswered=10, mute=False)
    assert breaker.room == UNLIMITED, "the first loss of a new count"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("answers"), st.integers(1, 60), st.floats(0, 1)),
        st.tuples(st.just("loss"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("wait"), st.integers(0, 90), st.just(0.0)),
        st.tuples(st.just("write"), st.integers(1, 12), st.just(0.0)),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_it_is_open_for_a_bounded_time_and_a_probe_is_small(
    happens: list[tuple[str, int, float]],
) -> None:
    breaker, now, written, was = Breaker(PROBE), 0.0, 0, State.CLOSED
    for kind, number, share in happens:
        match kind:
            case "answers":
                faults = int(number * share)
                breaker.note_answers(number, faults, NUMBERS[:faults], "ESME_RINVSRCADR", now)
            case "loss":
                breaker.note_loss("closed", now, unanswered=number, mute=bool(number))
            case "wait":
                now += number
                breaker.tick(now)
            case "write":
                count = min(number, breaker.room)
                breaker.probe.note_written(count)
                written += count
        if breaker.state is not was:
            written, was = 0, breaker.state
        assert (breaker.room == 0) >= (breaker.state is State.OPEN)
        assert (breaker.reason == "") == (breaker.state is State.CLOSED)
        if breaker.state is State.HALF_OPEN:
            assert written <= PROBE
        if breaker.state is State.OPEN:
            assert breaker.next_probe_at <= now + LONGEST_PAUSE_SECONDS


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.floats(0, 0.45))
def test_an_account_that_refuses_less_than_half_is_never_stopped(batches: list[int], share: float) -> None:
    breaker = Breaker(PROBE)
    for number in batches:
        faults = int(number * share)
        breaker.note_answers(number, faults, NUMBERS[:faults], "ESME_RINVSRCADR", 0.0)
    assert breaker.state is State.CLOSED


def test_losses_of_sessions_before_a_good_probe_count_no_more() -> None:
    breaker = Breaker(PROBE)
    for loss in range(LOSSES):
        breaker.note_loss("closed by the SMSC", 10.0 * loss, unanswered=10, mute=False)
    now = breaker.next_probe_at
    assert breaker.tick(now)
    breaker.probe.note_written(1)
    breaker.note_answers(1, 0, (), "", now)
    breaker.tick(now + FIRST_PAUSE_SECONDS)
    states = []
    for loss in range(LOSSES):
        states.append(breaker.state)
        breaker.note_loss("closed by the SMSC", now + 100.0 + 10.0 * loss, unanswered=10, mute=False)
    assert [*states, breaker.state] == [*[State.CLOSED] * LOSSES, State.OPEN]
