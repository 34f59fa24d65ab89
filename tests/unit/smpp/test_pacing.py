"""Pacing: never above the rate in any second, whole groups, shares of an account, bursts after idle time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.smpp.rates.pacing import SPAN_SECONDS, SPAN_SHARE, Pacing, make_sent_count
from broadcast.smpp.rates.sliding_count import SLOT_SECONDS, SlidingCount, SlidingHighest
from tests.support.paced_smsc import PacedSmsc, drive

RATES = [10, 13, 20, 50, 99, 100, 500, 1000, 2500, 5000]


def highest_in_a_second(writes: list[tuple[float, int]], span: float = 1.0) -> int:
    """The most that any span of so many seconds has, its end included."""
    highest = first = total = 0
    for at, count in writes:
        total += count
        while writes[first][0] <= at - span:
            total -= writes[first][1]
            first += 1
        highest = max(highest, total)
    return highest


@pytest.mark.parametrize("rate", RATES)
def test_at_most_two_percent_over_in_any_sliding_second_as_the_smsc_counts(rate: int) -> None:
    smsc = PacedSmsc(lambda _: 1e9, jitter=0.015)
    pacing = Pacing(float(rate), 0.0)
    drive([pacing], smsc, 6.0)
    assert smsc.highest <= 1.02 * rate
    assert smsc.accepted_between(1.0, 6.0) >= 0.98 * rate * 5 - 1


@pytest.mark.parametrize("rate", [100, 600, 1000, 5000])
@pytest.mark.parametrize("jitter", [0.0, 0.015])
def test_at_least_ninety_nine_percent_of_the_rate_is_used(rate: int, jitter: float) -> None:
    smsc = PacedSmsc(lambda _: 1e9, jitter=jitter)
    drive([Pacing(float(rate), 0.0)], smsc, 11.0)
    assert smsc.accepted_between(1.0, 11.0) >= 0.99 * rate * 10
    assert smsc.highest <= 1.02 * rate


@settings(max_examples=60, deadline=None)
@given(st.floats(10, 5000), st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(1, 300)), min_size=5, max_size=120))
def test_bursts_after_idle_time_stay_within_the_rate(rate: float, bursts: list[tuple[float, int]]) -> None:
    pacing = Pacing(rate, 0.0)
    now = 0.0
    writes: list[tuple[float, int]] = []
    for wait, segments in bursts:
        now += wait
        wanted = segments
        for _ in range(40):
            count = min(wanted, pacing.room(now))
            if count:
                pacing.take(count, now)
                writes.append((now, count))
                wanted -= count
            if wanted <= 0:
                break
            now = max(now + 0.001, pacing.next_room_at(now))
    assert highest_in_a_second(writes, SPAN_SECONDS) <= rate * SPAN_SHARE <= rate * 1.02


@given(st.floats(1, 5000), st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=200))
def test_the_average_is_the_rate_and_the_burst_is_small(rate: float, waits: list[float]) -> None:
    pacing = Pacing(rate, 0.0)
    now, sent = 0.0, 0
    for wait in waits:
        now += wait
        room = pacing.room(now)
        pacing.take(room, now)
        sent += room
        assert sent <= rate * now + max(1.0, rate * 0.05) + 1e-6


@pytest.mark.parametrize(("rate", "shares"), [(100.0, [0.5, 0.5]), (1000.0, [1 / 3, 2 / 3]), (50.0, [0.1, 0.4, 0.5])])
def test_shares_of_an_account_together_stay_within_its_rate(rate: float, shares: list[float]) -> None:
    smsc = PacedSmsc(lambda _: 1e9)
    workers = [Pacing(rate, 0.0) for _ in shares]
    for worker, share in zip(workers, shares, strict=True):
        worker.set_limit(rate * share, 0.0)
    for turn in range(5000):
        now = turn * 0.001
        smsc.turn(now)
        for worker in workers:
            room = worker.room(now)
            if room:
                worker.take(room, now)
                smsc.write(room, now)
    assert smsc.highest <= 1.02 * rate
    assert smsc.accepted_between(1.0, 5.0) >= 0.9 * rate * 4


@pytest.mark.parametrize("binds", [1, 2, 5])
def test_the_rate_of_the_account_holds_over_the_rates_of_its_binds(binds: int) -> None:
    account = Pacing(200.0, 0.0)
    each = [Pacing(150.0, 0.0) for _ in range(binds)]
    total = PacedSmsc(lambda _: 1e9)
    own = [PacedSmsc(lambda _: 1e9) for _ in each]
    for turn in range(4000):
        now = turn * 0.001
        total.turn(now)
        for pacing, smsc in zip(each, own, strict=True):
            smsc.turn(now)
            room = min(pacing.room(now), account.room(now))
            if room:
                for one in (pacing, account):
                    one.take(room, now)
                for counted in (total, smsc):
                    counted.write(room, now)
    assert total.highest <= 204
    assert all(smsc.highest <= 153 for smsc in own)
    assert total.accepted_between(1.0, 4.0) >= 0.95 * min(200, 150 * binds) * 3


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 2000), st.lists(st.floats(0.0, 0.03), min_size=50, max_size=300), st.integers(1, 12))
def test_the_rate_is_counted_in_segments_and_messages_go_whole(rate: int, waits: list[float], segments: int) -> None:
    pacing = Pacing(float(rate), 0.0)
    now = 0.0
    writes: list[tuple[float, int]] = []
    for wait in waits:
        now = max(now + wait, pacing.next_room_at(now, segments))
        if pacing.room(now) >= segments:
            pacing.take(segments, now)
            writes.append((now, segments))
    assert writes
    assert highest_in_a_second(writes) <= max(1.02 * rate, segments)


@given(st.integers(10, 2000), st.lists(st.floats(0.0, 0.3), min_size=20, max_size=200))
def test_a_pacing_that_follows_another_keeps_the_rate_over_both(rate: int, waits: list[float]) -> None:
    sent = make_sent_count()
    now = 0.0
    writes: list[tuple[float, int]] = []
    for wait in waits:
        now += wait
        pacing = Pacing(float(rate), now, sent=sent)
        if room := pacing.room(now):
            pacing.take(room, now)
            writes.append((now, room))
    assert writes
    assert highest_in_a_second(writes) <= 1.02 * rate


def test_segments_that_belong_together_get_room_together_at_any_rate() -> None:
    for rate in (1.0, 2.0, 10.0, 1000.0):
        pacing = Pacing(rate, 0.0)
        for _ in range(5):
            pacing.next_room_at(0.0, 3)
            now = pacing.next_room_at(0.0, 3)
            while pacing.room(now) < 3:
                now = max(now + 0.001, pacing.next_room_at(now, 3))
                assert now < 20.0
            pacing.take(3, now)


def test_reaches_the_rate_when_asked_as_told() -> None:
    for rate in (10, 500, 5000):
        pacing = Pacing(float(rate), 0.0)
        now, sent, turns = 0.0, 0, 0
        while now < 10.0:
            room = pacing.room(now)
            if room:
                pacing.take(room, now)
                sent += room
            now = max(now + 1e-6, pacing.next_room_at(now))
            turns += 1
        assert 0.95 * 10 * rate <= sent <= 10.2 * rate
        assert turns < 5000


def test_a_late_timer_costs_little_of_the_rate() -> None:
    pacing = Pacing(1000.0, 0.0)
    chance = random.Random(1)
    now, sent = 0.0, 0
    while now < 10.0:
        room = pacing.room(now)
        if room:
            pacing.take(room, now)
            sent += room
        now = max(now, pacing.next_room_at(now)) + chance.uniform(0.001, 0.03)
    assert sent >= 9500


def test_without_a_limit_there_is_always_room() -> None:
    pacing = Pacing(None, 0.0)
    pacing.take(10_000_000, 0.0)
    assert pacing.room(0.0) > 1_000_000
    assert pacing.next_room_at(0.0) == 0.0


def test_a_new_limit_holds_at_once_and_keeps_a_cut() -> None:
    pacing = Pacing(100.0, 0.0)
    pacing.set_limit(10.0, 0.0)
    assert pacing.room(0.0) <= 1
    pacing.set_limit(100.0, 0.0)
    pacing.observe(96, 96, 1.0)
    pacing.set_limit(80.0, 1.0)
    assert pacing.rate == 50.0
    pacing.set_limit(40.0, 1.0)
    assert pacing.rate == 40.0
    with pytest.raises(ValueError, match="rate 0 segments/s is not above 0"):
        pacing.set_limit(0, 1.0)


@given(st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(1, 50)), max_size=200))
def test_a_sliding_count_never_forgets_too_early_and_little_too_late(events: list[tuple[float, int]]) -> None:
    count = SlidingCount(1.0)
    now = 0.0
    happened: list[tuple[float, int]] = []
    for wait, events_now in events:
        now += wait
        count.add(events_now, now)
        happened.append((now, events_now))
        least = sum(number for at, number in happened if at > now - 1.0)
        most = sum(number for at, number in happened if at > now - 1.0 - SLOT_SECONDS)
        assert least <= count.total(now) <= most
        assert len(count._slots) <= 1.0 / SLOT_SECONDS + 2
        below = count.below_at(least // 2, now)
        assert now <= below <= now + 1.0
    assert count.total(now + 1.0 + SLOT_SECONDS) == 0


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 50)), min_size=1, max_size=100))
def test_the_highest_value_is_one_of_the_last_span_and_no_lower_than_that_of_a_third(
    values: list[tuple[float, int]],
) -> None:
    highest, now = SlidingHighest(6.0), 0.0
    noted: list[tuple[float, int]] = []
    for wait, value in values:
        now += wait
        highest.note(value, now)
        noted.append((now, value))
        found = highest.value(now)
        assert found >= max(each for at, each in noted if at > now - 2.0 + 1e-9)
        assert found <= max(each for at, each in noted if at >= now - 6.0 - 1e-9)
