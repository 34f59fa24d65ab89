"""What an SMSC allows is learned from its answers, against one that counts a sliding second."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broadcast.smpp.codec.pdu import SUBMIT_SM_RESP, encode_pdu
from broadcast.smpp.codec.reader import Reader
from broadcast.smpp.codec.tlv import CONGESTION_STATE, encode_tlvs
from broadcast.smpp.rates.full_queues import KNOWN_LIMIT, KNOWN_SECONDS, LEAST_NUMBERS, FullQueues
from broadcast.smpp.rates.pacing import Pacing
from broadcast.smpp.rates.slowing import Slowing
from broadcast.smpp.rates.upward_trial import UpwardTrial
from tests.support.paced_smsc import PacedSmsc, drive


def changing(before: float, after: float, at: float = 12.0) -> Callable[[float], float]:
    return lambda now: before if now < at else after


@pytest.mark.parametrize(
    ("limit", "before", "after"),
    [(1000.0, 100, 1000), (1000.0, 0, 1000), (None, 100, 1000), (5000.0, 200, 5000), (1000.0, 10, 500), (50.0, 5, 50)],
)
def test_ninety_five_percent_of_what_the_smsc_allows_within_five_seconds_after_it_relents(
    limit: float | None, before: float, after: float
) -> None:
    smsc = PacedSmsc(changing(before, after))
    drive([Pacing(limit, 0.0)], smsc, 21.0, window=500)
    assert smsc.accepted_between(17.0, 21.0) >= 0.95 * after * 4


@pytest.mark.parametrize("limit", [None, 1000.0, 3000.0])
@pytest.mark.parametrize("allowed", [50, 300, 900])
@pytest.mark.parametrize("latency", [0.005, 0.05])
def test_while_the_smsc_throttles_nearly_all_it_allows_is_used_and_little_is_wasted(
    limit: float | None, allowed: int, latency: float
) -> None:
    smsc = PacedSmsc(lambda _: allowed, latency=latency)
    drive([Pacing(limit, 0.0)], smsc, 15.0, window=500)
    accepted = smsc.accepted_between(5.0, 15.0)
    assert accepted >= 0.9 * allowed * 10
    assert smsc.throttled_between(5.0, 15.0) <= 0.2 * accepted


@pytest.mark.parametrize("allowed", [100, 500])
def test_an_smsc_that_counts_what_it_throttles_too_is_not_flooded(allowed: int) -> None:
    smsc = PacedSmsc(lambda _: allowed, counts_all=True)
    drive([Pacing(1000.0, 0.0)], smsc, 15.0, window=500)
    assert smsc.accepted_between(5.0, 15.0) >= 0.8 * allowed * 10


@settings(max_examples=25, deadline=None, derandomize=True)
@example(0.07601564721941237, 35, 863576)
@given(st.floats(0.001, 0.25), st.integers(20, 500), st.integers(0, 1_000_000))
def test_an_smsc_that_throttles_a_share_of_whatever_comes_still_gets_seventy_percent_of_what_it_can_take(
    share: float, window: int, seed: int
) -> None:
    smsc = PacedSmsc(lambda _: 1e9, seed=seed)
    smsc.random_share = share
    drive([Pacing(1000.0, 0.0)], smsc, 15.0, window=window)
    assert smsc.accepted_between(5.0, 15.0) >= 0.7 * 1000 * (1 - share) * 10


@pytest.mark.parametrize(
    ("limit", "share"), [(300.0, 0.2), (100.0, 0.2), (None, 0.2), (1000.0, 0.5), (1000.0, 0.05), (50.0, 0.4)]
)
def test_slowing_down_that_does_not_help_is_undone(limit: float | None, share: float) -> None:
    smsc = PacedSmsc(lambda _: 1e9)
    smsc.random_share = share
    drive([Pacing(limit, 0.0)], smsc, 40.0, window=64)
    assert smsc.accepted_between(10.0, 40.0) >= 0.8 * (limit or 3200) * (1 - share) * 30


@pytest.mark.parametrize(
    ("limit", "share", "least"),
    [(100.0, 0.6, 0.7), (50.0, 0.6, 0.6), (20.0, 0.4, 0.6), (20.0, 0.6, 0.5), (10.0, 0.6, 0.5), (5.0, 0.4, 0.5)],
)
@pytest.mark.parametrize("seed", [7, 8])
def test_a_rate_is_not_low_for_ever_where_a_large_share_of_few_answers_is_throttled_by_chance(
    limit: float, share: float, least: float, seed: int
) -> None:
    smsc = PacedSmsc(lambda _: 1e9, seed=seed)
    smsc.random_share = share
    drive([Pacing(limit, 0.0)], smsc, 100.0, window=64, turn_seconds=0.005)
    assert smsc.accepted_between(10.0, 100.0) >= least * limit * (1 - share) * 90


@pytest.mark.parametrize("allowed", [1, 3, 8, 10, 12, 15])
def test_a_low_limit_of_the_smsc_is_never_taken_for_chance(allowed: int) -> None:
    for latency in (0.005, 0.035, 0.065):
        smsc = PacedSmsc(lambda _: allowed, latency=latency)
        drive([Pacing(100.0, 0.0)], smsc, 90.0, window=64, turn_seconds=0.005)
        accepted = smsc.accepted_between(20.0, 90.0)
        assert smsc.throttled_between(20.0, 90.0) <= (0.2 if allowed > 1 else 0.5) * accepted


def test_a_trial_of_a_higher_rate_needs_clearly_more_accepted_and_pauses_grow_without() -> None:
    trial, now = UpwardTrial(), 0.0
    began: list[float] = []
    trial.plan(now)
    while len(began) < 6:
        now += 0.5
        trial.count(2, 1)
        if trial.running:
            assert not trial.succeeds(4, now)
            trial.fails(now)
        elif trial.is_due(now):
            began.append(now)
            assert trial.begin(2.0, 3, now) == 12.0
    assert [round(later - at) for at, later in pairwise(began)] == [12, 22, 42, 42, 42]
    trial.count(8, 4)
    assert trial.succeeds(5, now)
    assert trial.is_due(now)


def test_no_trial_of_a_higher_rate_begins_where_a_low_rate_made_the_throttled_share_small() -> None:
    trial = UpwardTrial()
    trial.plan(0.0)
    for second in range(1, 200):
        trial.count(3, second % 2)
        assert not trial.is_due(float(second))


def test_few_answers_that_were_all_accepted_by_chance_do_not_end_a_comparison() -> None:
    slowing = Slowing()
    assert slowing.begin(1_000, 50, 1.0, 950, 0.0)
    assert not slowing.count(14, 0, 500, 2.0)
    assert slowing.comparing
    assert slowing.count(400, 20, 500, 3.0)
    assert slowing.share(3.0) == pytest.approx(20 / 414)


def test_an_smsc_that_has_a_limit_and_also_throttles_by_chance_is_used_up_to_its_limit() -> None:
    smsc = PacedSmsc(lambda _: 300)
    smsc.random_share = 0.2
    drive([Pacing(1000.0, 0.0)], smsc, 40.0, window=500)
    accepted = smsc.accepted_between(10.0, 40.0)
    assert accepted >= 0.7 * 300 * 30
    assert smsc.throttled_between(10.0, 40.0) <= accepted


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(60, 900), st.sampled_from([None, 1000.0]), st.floats(0.002, 0.05))
def test_a_limit_of_the_smsc_is_never_taken_for_chance(allowed: int, limit: float | None, latency: float) -> None:
    smsc = PacedSmsc(lambda _: allowed, latency=latency)
    drive([Pacing(limit, 0.0)], smsc, 20.0, window=500)
    assert smsc.throttled_between(5.0, 20.0) <= 0.2 * smsc.accepted_between(5.0, 20.0)


def test_throttled_answers_to_one_window_are_one_cut() -> None:
    pacing = Pacing(100.0, 0.0)
    for left in range(490, -10, -10):
        pacing.observe(10, 10, 1.0, unanswered=max(0, left))
    assert (pacing.cuts, pacing.rate) == (1, 50.0)


def test_the_pause_does_not_grow_while_throttled_answers_follow_one_another() -> None:
    pacing = Pacing(1000.0, 0.0)
    now = 0.0
    for _ in range(50):
        pacing.observe(1000, 1000, now)
        assert pacing.next_room_at(now) - now <= 1.1
        now += 3.0


@pytest.mark.parametrize(("limit", "lowest"), [(500.0, 1.0), (20.0, 1.0), (2.0, 0.1)])
def test_the_rate_never_falls_below_one_per_second_or_a_twentieth_of_a_low_limit_and_a_pause_ends(
    limit: float, lowest: float
) -> None:
    pacing = Pacing(limit, 0.0)
    rates = []
    for second in range(200):
        pacing.observe(96, 96, float(second))
        rates.append(pacing.rate or 0.0)
        assert pacing.next_room_at(second) - second <= 1.1 / lowest
    assert min(rates) == lowest


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [(12.0, 3), (20.0, 3), (40.0, 5), (500.0, 5), (10.0, 3), (5.0, 2), (10.0, 1), (1000.0, 1), (None, 3)],
)
def test_an_smsc_that_allows_a_few_segments_a_second_is_not_flooded_and_gets_nearly_all_it_takes(
    limit: float | None, allowed: int
) -> None:
    smsc = PacedSmsc(lambda _: allowed)
    drive([Pacing(limit, 0.0)], smsc, 60.0, window=10)
    accepted, throttled = smsc.accepted_between(20.0, 60.0), smsc.throttled_between(20.0, 60.0)
    assert accepted >= (0.8 if allowed > 1 else 0.65) * allowed * 40
    assert throttled <= (0.2 if allowed > 1 else 0.35) * accepted


def test_an_smsc_that_allows_a_few_and_counts_what_it_throttles_too_is_not_flooded() -> None:
    smsc = PacedSmsc(lambda _: 3, counts_all=True)
    drive([Pacing(12.0, 0.0)], smsc, 60.0, window=10)
    accepted, throttled = smsc.accepted_between(20.0, 60.0), smsc.throttled_between(20.0, 60.0)
    assert accepted >= 0.7 * 3 * 40
    assert throttled <= 0.3 * accepted


@pytest.mark.parametrize("limit", [12.0, 500.0])
def test_an_smsc_that_takes_nothing_gets_a_probe_now_and_then(limit: float) -> None:
    smsc = PacedSmsc(lambda _: 0)
    drive([Pacing(limit, 0.0)], smsc, 60.0, window=10)
    assert 10 <= smsc.throttled_between(20.0, 60.0) <= 3 * 40


@pytest.mark.parametrize(("limit", "before"), [(12.0, 3), (20.0, 3), (40.0, 5), (10.0, 1), (5.0, 2)])
def test_an_smsc_that_allowed_a_few_a_second_gets_the_whole_rate_within_ten_seconds_after_it_relents(
    limit: float, before: int
) -> None:
    smsc = PacedSmsc(changing(before, limit, at=30.0))
    drive([Pacing(limit, 0.0)], smsc, 46.0, window=10)
    assert smsc.accepted_between(40.0, 46.0) >= 0.95 * limit * 6 - 1


def test_one_throttled_answer_among_many_hardly_slows() -> None:
    smsc = PacedSmsc(lambda now: 0 if 5.0 <= now < 5.001 else 1e9)
    pacing = Pacing(1000.0, 0.0)
    drive([pacing], smsc, 10.0, window=64)
    assert 1 <= len(smsc.throttled) <= 50
    assert smsc.accepted_between(5.0, 10.0) >= 0.9 * 5000


def test_without_a_limit_a_cut_begins_from_what_was_sent_and_is_forgotten_when_it_limits_nothing() -> None:
    pacing = Pacing(None, 0.0)
    for step in range(1, 101):
        pacing.take(20, step * 0.01)
    pacing.observe(96, 96, 1.0)
    assert pacing.rate is not None
    assert 900 <= pacing.rate <= 1100
    pacing.room(30.0)
    pacing.room(30.1)
    assert pacing.rate is None


@pytest.mark.parametrize(("limit", "best"), [(None, 1500), (1500.0, 1000), (3000.0, 400)])
def test_congestion_state_is_kept_at_80_to_89(limit: float | None, best: int) -> None:
    smsc = PacedSmsc(lambda _: 1e9)
    smsc.congestion_of = lambda segments: min(100, int(segments * 90 / best))
    states: list[int] = []

    def note(now: float) -> None:
        if now >= 8.0 and round(now * 1000) % 100 == 0:
            states.append(min(100, int(len(smsc._came) * 90 / best)))

    drive([Pacing(limit, 0.0)], smsc, 25.0, window=500, each_turn=note)
    assert sum(80 <= state < 90 for state in states) >= 0.9 * len(states)
    assert max(states) < 95


def test_the_rate_grows_again_when_no_congestion_is_reported_any_more() -> None:
    smsc = PacedSmsc(lambda _: 1e9)
    smsc.congestion_of = lambda segments: 95
    pacing = Pacing(1000.0, 0.0)
    now = drive([pacing], smsc, 5.0, window=500)
    assert pacing.rate is not None
    assert pacing.rate < 700
    smsc.congestion_of = None
    drive([pacing], smsc, 5.0, start=now, window=500)
    assert pacing.rate == 1000.0


def test_congestion_state_is_read_from_responses_and_odd_parameters_are_passed_over() -> None:
    def feed(*optional: bytes) -> tuple[list[bytes], int | None]:
        responses = [
            encode_pdu(SUBMIT_SM_RESP, 0, number, b"id%d\0" % number + tail) for number, tail in enumerate(optional)
        ]
        batch = Reader().feed(b"".join(responses))
        return batch.ids, batch.congestion

    assert feed(b"", b"") == ([b"id0", b"id1"], None)
    assert feed(encode_tlvs([(CONGESTION_STATE, b"\x55")])) == ([b"id0"], 0x55)
    assert feed(*[encode_tlvs([(CONGESTION_STATE, bytes([state]))]) for state in range(12)])[1] == 11
    assert feed(encode_tlvs([(0x1400, b"x"), (CONGESTION_STATE, b"\xff")]))[1] == 100
    assert feed(encode_tlvs([(CONGESTION_STATE, b"")]))[1] is None
    assert feed(encode_tlvs([(CONGESTION_STATE, b"\0\0\0")]))[1] is None
    assert feed(b"\x04\x28\x00\x09\x01") == ([b"id0"], None)


def test_full_queues_of_a_few_numbers_say_nothing_about_the_smsc() -> None:
    queues = FullQueues()
    # 30 numbers among 5,030, and tried again and again when nothing else is sent.
    assert queues.count_congested(5_000, [], 0.0) == 0
    assert queues.count_congested(30, list(range(30)), 0.1) == 0
    for again in range(1, 50):
        assert queues.count_congested(30, list(range(30)), again * 5.0) == 0


def test_many_different_numbers_with_full_queues_slow_the_bind() -> None:
    queues = FullQueues()
    assert queues.count_congested(LEAST_NUMBERS - 1, list(range(LEAST_NUMBERS - 1)), 0.0) == 0
    assert queues.count_congested(10, list(range(100, 110)), 0.1) == 10
    assert queues.count_congested(1000, list(range(200, 210)), 0.2) == 0
    assert queues.count_congested(40, list(range(300, 330)), 2.0) == 30
    assert queues.count_congested(40, list(range(300, 330)), 4.0) == 0
    assert queues.count_congested(40, list(range(300, 330)), 4.0 + KNOWN_SECONDS) == 30


def test_the_memory_of_full_queues_is_bounded() -> None:
    queues = FullQueues()
    for first in range(0, 3 * KNOWN_LIMIT, 1000):
        queues.count_congested(1000, list(range(first, first + 1000)), first / 1000)
    assert len(queues._known) == KNOWN_LIMIT
