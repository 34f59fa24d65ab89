"""However many requests are in work, there is room for a stop."""

from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.connections.connection_limits import ConnectionLimits
from broadcast.api.connections.requests_in_work import RequestsInWork, TooManyRequestsError

LIMITS = ConnectionLimits(total=32, per_address=16)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12345"), st.booleans()), max_size=80))
def test_no_kind_of_callers_takes_all_connections_and_every_stop_enters(callers: list[tuple[str, str, bool]]) -> None:
    work = RequestsInWork(LIMITS)
    inside: list[tuple[str, str]] = []
    with ExitStack() as places:
        for key, address, stop in callers:
            try:
                places.enter_context(work.enter(key, address, stop=stop))
            except TooManyRequestsError:
                assert not stop
                continue
            if not stop:
                inside.append((key, address))
        assert len(work) == len(inside) <= 28
        for key, address in inside:
            assert sum(one == key for one, _ in inside) <= 8
            assert sum(one == address for _, one in inside) <= 14
    assert len(work) == 0


def test_a_place_is_free_again_whatever_ends_the_request() -> None:
    work = RequestsInWork(ConnectionLimits(total=4, per_address=4))
    for _ in range(2):
        with suppress(ZeroDivisionError), work.enter("a", "1", stop=False):
            with pytest.raises(TooManyRequestsError, match="with this key"), work.enter("a", "2", stop=False):
                pass
            raise ZeroDivisionError
        assert len(work) == 0


@pytest.mark.parametrize(
    ("callers", "most", "whose"),
    [
        ([("a", f"{n}") for n in range(9)], 8, "with this key"),
        ([(f"{n}", "1") for n in range(15)], 14, "of this address"),
        ([(f"{n}", f"{n}") for n in range(29)], 28, "28 requests are in work"),
    ],
    ids=["key", "address", "all"],
)
def test_the_last_place_but_those_for_stops_is_given_and_no_more(
    callers: list[tuple[str, str]], most: int, whose: str
) -> None:
    work = RequestsInWork(LIMITS)
    with ExitStack() as places:
        for key, address in callers[:most]:
            places.enter_context(work.enter(key, address, stop=False))
        key, address = callers[most]
        with pytest.raises(TooManyRequestsError, match=whose):
            places.enter_context(work.enter(key, address, stop=False))
        places.enter_context(work.enter(key, address, stop=True))
        assert len(work) == most


def test_with_very_few_connections_a_key_has_one_request_all_the_same() -> None:
    work = RequestsInWork(ConnectionLimits(total=3, per_address=3))
    with work.enter("a", "1", stop=False), pytest.raises(TooManyRequestsError), work.enter("a", "1", stop=False):
        pass
