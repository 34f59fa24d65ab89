"""Pacing: never above the rate, cut once per throttle, regained slowly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.pacing import Pacing


@given(st.floats(1, 5000), st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=200))
def test_never_more_than_rate_plus_one_burst(rate: float, waits: list[float]) -> None:
    pacing = Pacing(rate, 0.0)
    now, sent = 0.0, 0
    for wait in waits:
        now += wait
        room = pacing.room(now)
        pacing.take(room, now)
        sent += room
        assert sent <= rate * now + max(1.0, rate * 0.1) + 1e-6


def test_reaches_the_rate_when_asked_as_told() -> None:
    pacing = Pacing(500.0, 0.0)
    now, sent = 0.0, 0
    while now < 10.0:
        room = pacing.room(now)
        if room:
            pacing.take(room, now)
            sent += room
        now = max(now + 1e-6, pacing.next_room_at(now))
    assert 4950 <= sent <= 5060


def test_without_a_limit_there_is_always_room() -> None:
    pacing = Pacing(None, 0.0)
    pacing.take(10_000_000, 0.0)
    assert pacing.room(0.0) > 1_000_000
    assert pacing.next_room_at(0.0) == 0.0


def test_a_throttled_window_pauses_halves_and_recovers_slowly() -> None:
    pacing = Pacing(100.0, 0.0)
    pacing.observe(96, 96, 1.0)
    assert pacing.room(1.09) == 0
    assert pacing.rate == 50.0
    assert 1.09 <= pacing.next_room_at(1.0) <= 1.2
    pacing.room(11.1)
    assert pacing.rate == pytest.approx(75.0, abs=0.1)
    pacing.room(60.0)
    assert pacing.rate == 100.0


def test_the_answers_to_one_window_are_one_cut() -> None:
    pacing = Pacing(100.0, 0.0)
    for _ in range(50):
        pacing.observe(10, 10, 1.0)
    assert (pacing.cuts, pacing.rate) == (1, 50.0)


def test_the_pause_doubles_until_answers_are_good() -> None:
    pacing = Pacing(1000.0, 0.0)
    now, pauses = 0.0, []
    for _ in range(9):
        pacing.observe(1000, 1000, now)
        start = now
        while pacing.room(now) == 0 and now < start + 20:
            now += 0.01
        pauses.append(round(now - start, 1))
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(pauses) <= 6.1
    pacing.observe(1, 0, now)
    pacing.observe(1000, 1000, now)
    assert pacing.room(now + 0.09) == 0
    assert pacing.next_room_at(now) - now < 1.3


@given(st.floats(0.001, 0.4), st.integers(1, 200))
def test_an_smsc_that_throttles_a_share_of_whatever_comes_is_not_starved(share: float, batch: int) -> None:
    pacing = Pacing(1000.0, 0.0)
    now, sent, due = 0.0, 0, 0.0
    while now < 20.0:
        count = min(batch, pacing.room(now))
        pacing.take(count, now)
        sent += count
        now += 0.01
        due += count * share
        throttled = int(due)
        due -= throttled
        if count:
            pacing.observe(count, throttled, now)
    fair = min(1000.0, batch * 100.0) * min(1.0, 0.025 / share)
    assert sent / 20.0 >= 0.3 * fair


@pytest.mark.parametrize("allowed", [20, 100, 300])
def test_settles_near_what_the_smsc_allows(allowed: int) -> None:
    pacing = Pacing(1000.0, 0.0)
    now, accepted, tried = 0.0, 0, 0
    second, used = 0, 0
    while now < 120.0:
        count = pacing.room(now)
        if count:
            pacing.take(count, now)
            if int(now) != second:
                second, used = int(now), 0
            good = min(count, allowed - used)
            used += good
            accepted += good
            tried += count
            pacing.observe(count, count - good, now)
        now += 0.01
    assert accepted >= 0.6 * allowed * 120
    assert accepted >= 0.6 * tried


def test_without_a_limit_a_cut_halves_what_was_measured_and_is_forgotten_when_regained() -> None:
    pacing = Pacing(None, 0.0)
    for step in range(1, 101):
        pacing.take(20, step * 0.01)
    pacing.observe(96, 96, 1.0)
    assert pacing.rate is not None
    assert 900 <= pacing.rate <= 1100
    pacing.room(30.0)
    assert pacing.rate is None


def test_rate_never_falls_below_one_per_second() -> None:
    pacing = Pacing(2.0, 0.0)
    for second in range(20):
        pacing.observe(96, 96, second * 10.0)
    assert pacing.rate is not None
    assert pacing.rate >= 1.0


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


def test_segments_that_belong_together_get_room_together_at_any_rate() -> None:
    pacing = Pacing(1.0, 0.0)
    pacing.take(1, 0.0)
    at = pacing.next_room_at(0.0, 3)
    assert pacing.room(at) >= 3 or pacing.room(at + 0.001) >= 3
