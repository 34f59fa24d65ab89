"""The simulator's count of a sliding second, and that its own pauses are not the client's bursts."""

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from broadcast.smsc.counts.rates import LoopWatch, NumberRates, SlidingRate

arrivals = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=30)


@given(arrivals)
def test_the_count_is_that_of_a_plain_list(steps: list[tuple[int, int]]) -> None:
    rate, now, counted, highest = SlidingRate(), 0.0, list[tuple[float, int]](), 0
    for pause, count in steps:
        now += pause / 32
        counted.append((now, count))
        expected = sum(each for at, each in counted if at > now - 1)
        highest = max(highest, expected)
        assert rate.add(now, count) == expected
    assert rate.highest == highest


@given(st.integers(1, 300), st.integers(1, 200))
def test_what_came_in_a_pause_is_counted_evenly_over_it(count: int, hundredths: int) -> None:
    rate = SlidingRate()
    since, now = 10.0, 10.0 + hundredths / 100
    total = rate.spread(since, now, count)
    assert total == rate.total(now) <= count
    if hundredths < 100:
        assert total == count
    half = rate.total(since + (now - since) / 2 + 1.0)
    assert abs(half - count / 2) <= count / 16 + 1
    assert rate.total(now + 1.0) == 0


async def test_a_steady_client_is_within_its_rate_although_the_simulator_paused() -> None:
    watch, rate, highest = LoopWatch(time.monotonic), SlidingRate(), 0
    began = time.monotonic()
    sent = 0
    watch.paused_since()
    for step in range(60):
        await asyncio.sleep(0.02)
        if step == 25:
            time.sleep(0.3)
        due = int((time.monotonic() - began) * 500)
        since = watch.paused_since()
        if since is None:
            highest = max(highest, rate.add(time.monotonic(), due - sent))
        else:
            highest = max(highest, rate.spread(since, time.monotonic(), due - sent))
        sent = due
    assert highest <= 575, "150 more, had the pause been taken for a burst"


def test_each_number_has_a_limit_of_its_own() -> None:
    now = 0.0
    rates = NumberRates(lambda: now)
    assert [rates.admit(1, 2, 1.0) for _ in range(3)] == [True, True, False]
    assert rates.admit(2, 2, 1.0)
    now = 1.0
    assert rates.admit(1, 2, 1.0)
