"""Routes of numbers: longest prefix, by CAP status; the batch form agrees with the plain one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing import NO_ROUTE, Account, Route, RoutesError, RouteTable
from schemas.alert import Status

ACCOUNT = Account(name="a", host="h", port=1, system_id="s")


def route(name: str, *prefixes: str, live: bool = True) -> Route:
    return Route(name=name, prefixes=prefixes, live=live, accounts=(ACCOUNT,))


def found(table: RouteTable, msisdn: str, status: Status = Status.ACTUAL) -> str | None:
    route = table.route_of(msisdn, status)
    return route.name if route else None


def test_the_longest_prefix_wins() -> None:
    table = RouteTable([route("all", "+"), route("de", "+49"), route("berlin", "+4930", "+4931")])
    numbers = ("+4930123", "+49123", "+331", "+4931", "+4")
    assert [found(table, number) for number in numbers] == ["berlin", "de", "all", "berlin", "all"]


def test_a_number_without_a_prefix_has_no_route() -> None:
    table = RouteTable([route("de", "+49")])
    assert found(table, "+33123") is None
    assert table.routes_of(["+4912", "+331", ""], Status.ACTUAL) == [0, NO_ROUTE, NO_ROUTE]


def test_a_test_never_reaches_a_live_route_however_close_its_prefix() -> None:
    table = RouteTable([route("live", "+4930"), route("sim", "+", live=False)])
    assert found(table, "+4930123", Status.TEST) == "sim"
    assert found(table, "+4930123", Status.EXERCISE) == "live"
    assert {found(table, "+4930123", status) for status in (Status.SYSTEM, Status.DRAFT)} == {None}


def test_what_is_real_is_not_simulated_where_a_live_route_exists() -> None:
    table = RouteTable([route("live", "+49"), route("sim", "+33", live=False)])
    assert found(table, "+331", Status.ACTUAL) is None
    assert found(table, "+331", Status.TEST) == "sim"
    assert found(RouteTable([route("sim", "+33", live=False)]), "+331", Status.ACTUAL) == "sim"


def test_two_live_routes_cannot_share_a_prefix() -> None:
    with pytest.raises(RoutesError, match=r"'\+49' stands in route 'a' and 'b'"):
        RouteTable([route("a", "+49"), route("b", "+49")])
    RouteTable([route("a", "+49"), route("b", "+49", live=False)])


PREFIXES = st.text("0123", max_size=4).map("+".__add__)


@given(st.lists(PREFIXES, min_size=1, unique=True), st.lists(st.text("0123", max_size=6).map("+".__add__)))
def test_a_batch_agrees_with_the_rule(prefixes: Sequence[str], numbers: list[str]) -> None:
    table = RouteTable([route(f"r{index}", prefix) for index, prefix in enumerate(prefixes)])
    expected = [
        max(((len(p), i) for i, p in enumerate(prefixes) if n.startswith(p)), default=(0, NO_ROUTE))[1] for n in numbers
    ]
    assert table.routes_of(numbers, Status.ACTUAL) == expected
    assert table.routes_of(numbers, Status.ACTUAL) == expected
