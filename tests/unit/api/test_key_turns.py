"""Requests with a key have a share of the event loop's time, which keys share; nobody is forgotten."""

import heapq
from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.connections.key_turns import OUTSIDE_SECONDS, READS_AT_ONCE, SHARES, Flow, KeyTurns, Kind

Arrival = tuple[str, Kind, float, float]
"""Key, kind, instant, and seconds of processor time that it takes."""

arrivals = st.tuples(st.sampled_from("abc"), st.sampled_from(Kind), st.floats(0, 2), st.floats(0, 0.5))


@given(st.lists(arrivals, max_size=40))
def test_each_is_served_in_the_order_of_its_flow_and_reads_of_a_key_are_few_at_once(given_: list[Arrival]) -> None:
    turns: KeyTurns[int] = KeyTurns()
    pending = sorted((at, number) for number, (_, _, at, _) in enumerate(given_))
    ends: list[tuple[float, int]] = []
    in_work: Counter[Flow] = Counter()
    served: dict[Flow, list[int]] = defaultdict(list)
    now = 0.0
    while pending or ends or len(turns):
        until = turns.begins_in(now)
        instants = [heap[0][0] for heap in (pending, ends) if heap] + ([now + until] if until is not None else [])
        now = max(now, min(instants)) + 1e-9
        while pending and pending[0][0] <= now:
            _, number = heapq.heappop(pending)
            turns.wait(number, given_[number][:2])
        while ends and ends[0][0] <= now:
            _, number = heapq.heappop(ends)
            in_work[given_[number][:2]] -= 1
            turns.end(given_[number][:2], now, given_[number][3])
        for flow, number in turns.begin(now):
            served[flow].append(number)
            in_work[flow] += 1
            assert flow[1] is Kind.ALERT or in_work[flow] <= READS_AT_ONCE
            heapq.heappush(ends, (now + given_[number][3], number))
    assert sorted(number for flow in served.values() for number in flow) == list(range(len(given_)))
    for flow, numbers in served.items():
        asked = [given_[number][2] for number in numbers]
        assert asked == sorted(asked), flow


def work(waiting: dict[Flow, int], cost: float, seconds: float) -> dict[Flow, float]:
    """The processor time of each flow, with so many always waiting, on a loop that does one at a time."""
    turns: KeyTurns[Flow] = KeyTurns()
    for flow, count in waiting.items():
        for _ in range(count):
            turns.wait(flow, flow)
    worked = dict.fromkeys(waiting, 0.0)
    now = 0.0
    while now < seconds:
        begun = turns.begin(now)
        for flow, _ in begun:
            now += cost
            worked[flow] += cost
            turns.end(flow, now, cost)
            turns.wait(flow, flow)
        if not begun:
            now += (turns.begins_in(now) or 0.0) + 1e-9
    return worked


def test_a_flood_of_one_key_has_the_share_of_its_kind() -> None:
    for kind, share in SHARES.items():
        used = work({("a", kind): 50}, 0.05, 100.0)["a", kind]
        assert 0.8 * 100 / share < used < 1.05 * 100 / share


def test_keys_share_the_time_and_reads_do_not_delay_an_alert() -> None:
    flood = {(key, Kind.READ): 50 for key in "abcd"}
    worked = work(flood, 0.02, 100.0)
    assert all(0.7 * 25 / 4 < used < 1.1 * 25 / 4 for used in worked.values())
    turns: KeyTurns[str] = KeyTurns()
    for _ in range(50):
        turns.wait("read", ("a", Kind.READ))
    assert turns.begin(0.0) == [(("a", Kind.READ), "read")]
    for key in "ab":
        turns.wait("alert", (key, Kind.ALERT))
    assert turns.begin(0.0) == [((key, Kind.ALERT), "alert") for key in "ab"]


def test_a_request_that_took_much_more_than_expected_is_paid_for_afterwards() -> None:
    turns: KeyTurns[int] = KeyTurns()
    for number in range(2):
        turns.wait(number, ("a", Kind.ALERT))
    assert turns.begin(0.0) == [(("a", Kind.ALERT), 0)]
    turns.end(("a", Kind.ALERT), 1.0, 1.0 - OUTSIDE_SECONDS)
    pause = turns.begins_in(1.0)
    assert pause is not None
    assert abs(pause - (SHARES[Kind.ALERT] - 1)) < 0.01
