"""Which alerts reach no phone, and routes files that would leave it open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing import Account, Route, Simulation, check_routes, note_of, simulated_names, simulation_of
from broadcast.routing.table import RouteTable
from schemas.alert import Status


def route(number: int, *, live: bool, simulated: bool) -> Route:
    account = Account(name=f"a{number}", host="h", port=1, system_id="x", simulated=simulated)
    return Route(name=f"r{number}", prefixes=(f"+{number + 1}",), live=live, accounts=(account,))


ROUTES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6).map(
    lambda kinds: [route(number, live=live, simulated=simulated) for number, (live, simulated) in enumerate(kinds)]
)


@given(ROUTES, st.sampled_from(Status))
def test_it_is_said_of_just_those_routes_that_carry_somebody(routes: list[Route], status: Status) -> None:
    table = RouteTable(routes)
    carriers = {
        found.name: found.simulated
        for each in routes
        if (found := table.route_of(each.prefixes[0], status)) is not None
    }
    assert set(simulated_names(routes, status)) == {name for name, simulated in carriers.items() if simulated}
    kinds = set(carriers.values())
    expected = {frozenset({True}): Simulation.ALL, frozenset({True, False}): Simulation.PARTLY}
    assert simulation_of(routes, status) is expected.get(frozenset(kinds), Simulation.NONE)


def test_what_people_are_told() -> None:
    assert note_of("all") == "SIMULATED: no phone was reached"
    assert note_of("partly").startswith("PARTLY SIMULATED")
    assert note_of("none") == note_of(None) == ""


ACCOUNT = '[[routes.accounts]]\nname = "{name}"\nhost = "{name}"\nport = 1\nsystem_id = "x"\n{more}\n'


def text(name: str, *accounts: str, more: str = "") -> str:
    return f'[[routes]]\nname = "{name}"\nprefixes = ["+{len(name)}"]\n{more}\n' + "".join(accounts)


REAL, SIM = ACCOUNT.format(name="real", more=""), ACCOUNT.format(name="sim", more="simulated = true")


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (text("a", REAL, SIM), "simulated = true: is simulated, and account 'real' of the same route is not"),
        (text("a", SIM, REAL), "is not simulated, and account 'sim' of the same route is simulated"),
        (
            text("a", REAL, more='fallback_route = "bb"') + text("bb", SIM),
            "fallback_route = 'bb': is not simulated as this route is, or the other way round",
        ),
        (
            text("a", SIM, more='undelivered_route = "bb"') + text("bb", REAL),
            "undelivered_route = 'bb': is not simulated as this route is, or the other way round",
        ),
        (text("a", ACCOUNT.format(name="sim", more='simulated = "yes"')), "simulated"),
    ],
)
def test_a_route_that_is_simulated_in_part_is_refused(file: str, fault: str) -> None:
    faults = check_routes(file).faults
    assert len(faults) == 1
    assert fault in faults[0].write("routes.toml")


def test_routes_of_one_kind_each_are_taken() -> None:
    file = text("a", REAL) + text("bb", SIM)
    assert [route.simulated for route in check_routes(file).routes] == [False, True]
