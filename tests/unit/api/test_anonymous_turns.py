"""Requests without a valid key have a share of the event loop's time, whoever sends how many."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.connections.anonymous_turns import PAUSE_FACTOR, AnonymousTurns
from broadcast.api.connections.key_turns import OUTSIDE_SECONDS

Arrival = tuple[str, float, float]
"""Address, seconds since the one before, and seconds of processor time that it takes."""


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.2), st.floats(0, 0.5)), max_size=60), st.integers(1, 12)
)
def test_turns_take_a_fifth_of_the_time_and_nobody_is_forgotten(arrivals: list[Arrival], waiting_max: int) -> None:
    turns: AnonymousTurns[int] = AnonymousTurns(waiting_max)
    now = 0.0
    worked = 0.0
    last = 0.0
    first: float | None = None
    served: list[int] = []
    refused: list[int] = []
    pending = list(enumerate(arrivals))

    def serve(until: float) -> None:
        nonlocal now, worked, last, first
        while (pause := turns.begins_in(now)) is not None and now + pause <= until:
            now += pause
            number = turns.begin(now)
            if number is None:  # the sum of two floats may be a little less than what was asked for
                now += 1e-9
                continue
            assert turns.begin(now) is None
            first = now if first is None else first
            # What came before the pause after the last one is over: four times its cost.
            assert now >= last
            seconds = arrivals[number][2]
            served.append(number)
            now += seconds
            turns.end(now, seconds)
            worked += seconds
            last = now + PAUSE_FACTOR * (seconds + OUTSIDE_SECONDS) - 1e-6
        now = max(now, until)

    at = 0.0
    for number, (address, since, _) in pending:
        at += since
        serve(at)
        dropped = turns.wait(number, address)
        if dropped is not None:
            refused.append(dropped)
        assert len(turns) <= waiting_max
    serve(float("inf"))
    assert sorted(served + refused) == list(range(len(arrivals)))
    for address in "abc":
        mine = [number for number in served if arrivals[number][0] == address]
        assert mine == sorted(mine)
    if first is not None and len(served) > 1:
        assert worked - arrivals[served[-1]][2] <= (last - first) / (PAUSE_FACTOR + 1) + 1e-3


@given(st.integers(1, 50), st.integers(1, 50))
def test_an_address_with_many_requests_delays_and_displaces_no_other(many: int, waiting_max: int) -> None:
    turns: AnonymousTurns[str] = AnonymousTurns(waiting_max + 1)
    refused = [turns.wait("a", "a") for _ in range(many)]
    refused.append(turns.wait("b", "b"))
    refused += [turns.wait("a", "a") for _ in range(many)]
    assert Counter(refused)["b"] == 0
    begun = []
    for number in range(2):
        begun.append(turns.begin(1000.0 * number))
        turns.end(1000.0 * number, 1.0)
    assert "b" in begun


def test_the_oldest_is_refused_where_too_many_wait() -> None:
    turns: AnonymousTurns[int] = AnonymousTurns(2)
    assert [turns.wait(number, "a") for number in range(4)] == [None, None, 0, 1]
    assert turns.begin(0.0) == 2
    assert turns.begins_in(0.0) is None
    turns.end(0.0, 1.0)
    assert turns.begin(3.9) is None
    assert turns.begins_in(0.0) == PAUSE_FACTOR * (1.0 + OUTSIDE_SECONDS)


def test_the_next_turn_begins_as_soon_as_four_times_the_cost_is_over() -> None:
    turns: AnonymousTurns[int] = AnonymousTurns()
    for number in range(2):
        turns.wait(number, "a")
    assert turns.begin(0.0) == 0
    turns.end(0.0, 0.0)
    assert turns.begins_in(0.0) == 0.004, "what is not measured has its cost, too"
    assert turns.begin(0.0039) is None
    assert turns.begin(0.004) == 1
