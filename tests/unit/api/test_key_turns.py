"""Requests with a key have a share of the event loop's time, which keys share; nobody is forgotten."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.connections.key_turns import (
    FIRST_SECONDS,
    OUTSIDE_SECONDS,
    READS_AT_ONCE,
    SHARES,
    Charge,
    Flow,
    KeyTurns,
    Kind,
)

LEAST = 1e-9
"""So much later is surely later, whatever was rounded."""


@dataclass(frozen=True)
class Arrival:
    """A request: instant, seconds of processor time that it takes, and seconds that it waits in work."""

    key: str
    kind: Kind
    at: float
    cost: float
    waits: float

    @property
    def flow(self) -> Flow:
        return self.key, self.kind


arrivals = st.builds(
    Arrival,
    st.sampled_from("abc"),
    st.sampled_from(Kind),
    st.floats(0, 2),
    st.one_of(st.just(0.0), st.floats(0, 0.5)),
    st.one_of(st.just(0.0), st.floats(0, 5)),
)


@dataclass
class Schedule:
    """Requests that come, begin, and end, each while others are in work."""

    arrivals: list[Arrival]
    turns: KeyTurns[int] = field(default_factory=KeyTurns)
    now: float = 0.0
    served: dict[Flow, list[int]] = field(default_factory=lambda: defaultdict(list))
    ended: list[tuple[float, Arrival]] = field(default_factory=list)
    in_work: Counter[Flow] = field(default_factory=Counter)
    most: Counter[Flow] = field(default_factory=Counter)

    def run(self) -> None:
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[float]:
        """Run it; gives, before the clock goes on, the instant to which it goes."""
        pending = sorted((each.at, number) for number, each in enumerate(self.arrivals))
        ends: list[tuple[float, int, Charge]] = []
        while pending or ends or len(self.turns):
            until = self.turns.begins_in(self.now)
            instants = [self.now + until] if until is not None else []
            instants += [pending[0][0]] if pending else []
            instants += [ends[0][0]] if ends else []
            after = max(self.now, min(instants)) + LEAST
            yield after
            self.now = after
            while pending and pending[0][0] <= self.now:
                number = heapq.heappop(pending)[1]
                self.turns.wait(number, self.arrivals[number].flow)
            while ends and ends[0][0] <= self.now:
                _, number, charge = heapq.heappop(ends)
                self.in_work[charge.flow] -= 1
                self.turns.end(charge, self.now, self.arrivals[number].cost)
                self.ended.append((self.now, self.arrivals[number]))
            for charge, number in self.turns.begin(self.now):
                one = self.arrivals[number]
                self.served[charge.flow].append(number)
                self.in_work[charge.flow] += 1
                self.most[charge.flow] = max(self.most[charge.flow], self.in_work[charge.flow])
                heapq.heappush(ends, (self.now + one.cost + one.waits, number, charge))


@given(st.lists(arrivals, max_size=40))
def test_each_is_served_in_the_order_of_its_flow_and_reads_of_a_key_are_few_at_once(given_: list[Arrival]) -> None:
    schedule = Schedule(given_)
    schedule.run()
    assert sorted(number for flow in schedule.served.values() for number in flow) == list(range(len(given_)))
    for flow, numbers in schedule.served.items():
        asked = [given_[number].at for number in numbers]
        assert asked == sorted(asked), flow
    assert all(most <= READS_AT_ONCE for (_, kind), most in schedule.most.items() if kind is Kind.READ)


@given(st.lists(arrivals, max_size=40))
def test_a_kind_takes_its_share_and_at_most_what_is_in_work_at_once(given_: list[Arrival]) -> None:
    schedule = Schedule(given_)
    schedule.run()
    for kind, share in SHARES.items():
        ended = [(at, one.cost + OUTSIDE_SECONDS) for at, one in schedule.ended if one.kind is kind]
        dearest = max([FIRST_SECONDS, *(cost for _, cost in ended)])
        # What is in work may cost more than what was charged at its begin; what was charged too much is a credit.
        burst = 2 * dearest * sum(most for flow, most in schedule.most.items() if flow[1] is kind)
        for first, last in combinations(range(len(ended)), 2):
            used = sum(cost for _, cost in ended[first + 1 : last + 1])
            assert used <= (ended[last][0] - ended[first][0]) / share + burst + 1e-6


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.3), st.booleans()), min_size=1, max_size=30))
def test_overlapping_requests_are_charged_what_they_used(given_: list[tuple[float, float, bool]]) -> None:
    """Each has its cost, the pause after it, and whether the oldest in work or the newest ends then.

    One more request always waits: it shows for how many seconds something is unpaid.
    """
    turns: KeyTurns[int] = KeyTurns()
    now = paid = used = 0.0

    def go_on(seconds: float) -> None:
        nonlocal now, paid
        paid += min(seconds, turns.begins_in(now) or 0.0) / SHARES[Kind.ALERT]
        now += seconds

    turns.wait(0, ("a", Kind.ALERT))
    in_work: list[Charge] = []
    for _ in given_:
        while not (begun := turns.begin(now)):
            go_on((turns.begins_in(now) or 0.0) + LEAST)
        in_work.append(begun[0][0])
        turns.wait(0, ("a", Kind.ALERT))
    for cost, pause, oldest in given_:
        turns.end(in_work.pop(0 if oldest else -1), now, cost)
        used += cost + OUTSIDE_SECONDS
        go_on(pause)
    unpaid = (turns.begins_in(now) or 0.0) / SHARES[Kind.ALERT]
    # Nothing is unpaid: what was charged at the begin was more.
    assert unpaid + paid == pytest.approx(used, abs=1e-6) if unpaid else paid >= used - 1e-6


def test_twenty_overlapping_requests_are_all_charged() -> None:
    turns: KeyTurns[int] = KeyTurns()
    flow = ("a", Kind.ALERT)
    charges = []
    for number in range(20):
        turns.wait(number, flow)
        charges += [charge for charge, _ in turns.begin(number)]
    for charge in charges:
        turns.end(charge, 20.0, 0.1)
    turns.wait(20, flow)
    # Of each, time has paid what was expected.
    used = 20 * (0.1 + OUTSIDE_SECONDS)
    assert turns.begins_in(20.0) == pytest.approx(SHARES[Kind.ALERT] * (used - 20 * FIRST_SECONDS))


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
        for charge, flow in begun:
            now += cost
            worked[flow] += cost
            turns.end(charge, now, cost)
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
    assert turns.begin(0.0) == [(Charge(("a", Kind.READ), FIRST_SECONDS), "read")]
    for key in "ab":
        turns.wait("alert", (key, Kind.ALERT))
    assert turns.begin(0.0) == [(Charge((key, Kind.ALERT), FIRST_SECONDS), "alert") for key in "ab"]


def test_unpaid_reads_take_nothing_from_the_share_of_alerts() -> None:
    worked = work({("a", Kind.ALERT): 50, **{(key, Kind.READ): 50 for key in "abcd"}}, 0.02, 100.0)
    alerts, reads = (sum(used for flow, used in worked.items() if flow[1] is kind) for kind in (Kind.ALERT, Kind.READ))
    assert 0.7 * 50 < alerts < 1.05 * 50
    assert 0.7 * 25 < reads < 1.05 * 25


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("keys", ["a", "abcde"])
def test_clients_that_send_one_request_at_a_time_have_the_share_of_their_kind(kind: Kind, keys: str) -> None:
    turns: KeyTurns[str] = KeyTurns()
    now = worked = 0.0
    while now < 100.0:
        for key in keys:
            turns.wait(key, (key, kind))
            while not (begun := turns.begin(now)):
                now += (turns.begins_in(now) or 0.0) + LEAST
            now += 0.05
            worked += 0.05
            turns.end(begun[0][0], now, 0.05)
            assert turns.begins_in(now) is None, "nobody waits between"
            # Requests of others end meanwhile, which forgets those that are idle.
            for other in Kind:
                turns.wait("other", ("other", other))
            for charge, _ in turns.begin(now):
                turns.end(charge, now, 0.0)
    assert 0.8 * 100 / SHARES[kind] < worked < 1.05 * 100 / SHARES[kind]


def test_the_instant_of_the_next_turn_is_known_while_several_keys_have_something_unpaid() -> None:
    turns: KeyTurns[str] = KeyTurns()
    for key, cost in (("a", 1.0), ("b", 2.0), ("c", 5.0)):
        turns.wait(key, (key, Kind.ALERT))
        [(charge, _)] = turns.begin(0.0)
        turns.end(charge, 0.0, cost - OUTSIDE_SECONDS)
    turns.wait("b", ("b", Kind.ALERT))
    # When 2 are paid for each that has so much unpaid, "a" has had its 1.
    instant = SHARES[Kind.ALERT] * (1.0 + 2.0 + 2.0)
    assert turns.begins_in(0.0) == pytest.approx(instant)
    assert not turns.begin(instant - 1e-6)
    assert [key for _, key in turns.begin(instant + 1e-6)] == ["b"]


def test_who_has_nothing_unpaid_waits_for_no_other_key() -> None:
    turns: KeyTurns[int] = KeyTurns()
    turns.wait(0, ("a", Kind.ALERT))
    [(charge, _)] = turns.begin(0.0)
    turns.end(charge, 1.0, 1000.0)
    turns.wait(1, ("a", Kind.ALERT))
    turns.wait(2, ("b", Kind.ALERT))
    assert [number for _, number in turns.begin(1.0)] == [2]


def test_flows_that_have_nothing_unpaid_are_forgotten() -> None:
    turns: KeyTurns[int] = KeyTurns()
    for number in range(1000):
        turns.wait(number, (f"key {number}", Kind.READ))
        [(charge, _)] = turns.begin(100.0 * number)
        turns.end(charge, 100.0 * number, 1.0)
        assert len(turns._flows) <= 2


def test_what_requests_took_is_expected_of_the_next() -> None:
    turns: KeyTurns[int] = KeyTurns()
    for number in range(20):
        turns.wait(number, ("a", Kind.ALERT))
    for number in range(10):
        [(charge, _)] = turns.begin(100.0 * number)
        turns.end(charge, 100.0 * number, 1.0)
    [(charge, _)] = turns.begin(1000.0)
    assert charge.seconds == pytest.approx(1.0 + OUTSIDE_SECONDS, rel=0.01)
    assert turns.begins_in(1000.0) == pytest.approx(SHARES[Kind.ALERT] * charge.seconds)


def test_a_request_that_costs_nothing_is_charged_for_what_is_not_measured() -> None:
    turns: KeyTurns[int] = KeyTurns()
    for number in range(2):
        turns.wait(number, ("a", Kind.READ))
    [(charge, _)] = turns.begin(0.0)
    turns.end(charge, 0.0, 0.0)
    assert turns.begins_in(0.0) == pytest.approx(SHARES[Kind.READ] * OUTSIDE_SECONDS)


def test_a_request_that_took_much_more_than_expected_is_paid_for_afterwards() -> None:
    turns: KeyTurns[int] = KeyTurns()
    for number in range(2):
        turns.wait(number, ("a", Kind.ALERT))
    [(charge, _)] = turns.begin(0.0)
    turns.end(charge, 1.0, 1.0 - OUTSIDE_SECONDS)
    assert turns.begins_in(1.0) == pytest.approx(SHARES[Kind.ALERT] * (1.0 - FIRST_SECONDS))
