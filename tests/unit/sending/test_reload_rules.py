"""What may change in the routes while a sender runs, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing import Account, Route, check_routes
from broadcast.sending.accounts.reload import describe_refusals, find_refusals, hash_routes


def make(name: str = "national", **fields: Any) -> Route:
    account = {"name": "a", "host": "h", "port": 1, "system_id": "s"}
    return Route.model_validate({"name": name, "prefixes": ["+"], "accounts": [account], **fields})


ACCOUNTS = st.lists(
    st.builds(
        Account,
        name=st.sampled_from(["a", "b", "c"]),
        host=st.sampled_from(["h", "g"]),
        port=st.integers(1, 9),
        system_id=st.just("s"),
        weight=st.integers(1, 9),
        binds=st.integers(1, 9),
        window=st.integers(1, 99),
    ),
    min_size=1,
    unique_by=lambda account: account.name,
).map(tuple)


@given(ACCOUNTS, ACCOUNTS)
def test_accounts_may_change_in_every_way(before: tuple[Account, ...], after: tuple[Account, ...]) -> None:
    route = make()
    running, wanted = (route.model_copy(update={"accounts": accounts}) for accounts in (before, after))
    assert find_refusals([running], [wanted]) == []
    assert (hash_routes([running]) == hash_routes([wanted])) == (running == wanted)


FILE = """
[[routes]]
name = "national"
prefixes = ["+49"]
partitions = 8

[[routes.accounts]]
name = "a"
host = "h"
port = 1
system_id = "s"
"""


@pytest.mark.parametrize(
    ("fields", "field", "was"),
    [
        ({"partitions": 8}, "partitions", "4"),
        ({"delays_seconds": [5, 30]}, "delays_seconds", "5, 30, 120"),
        ({"live": True}, "live", "False"),
        ({"prefixes": ["+49", "+44"]}, "prefixes", "+"),
    ],
)
def test_what_topics_and_other_stages_rest_on_is_refused(fields: dict[str, Any], field: str, was: str) -> None:
    [refusal] = find_refusals([make()], [make(**fields)])
    assert refusal.path == ("routes", 0, field)
    assert refusal.rule == f"cannot change while the sender runs, is {was} there"


def test_a_route_that_comes_or_goes_is_refused() -> None:
    one, other = make(), make("other", prefixes=["+49"])
    assert [refusal.path for refusal in find_refusals([one], [one, other])] == [("routes", 1, "name")]
    assert find_refusals([one, other], [one]) == [((), "route 'other' cannot be removed while the sender runs")]
    assert find_refusals([one, other], [other, one]) == []


def test_a_refusal_names_file_line_field_value_and_what_to_do() -> None:
    reading = check_routes(FILE)
    refusals = find_refusals([make()], reading.routes)
    assert describe_refusals(refusals, reading.places, "routes.toml") == (
        "routes.toml:4: route 'national': prefixes: cannot change while the sender runs, is + there; "
        "restart planner, expander, recorder, senders and API with the new file (also: partitions)"
    )
    gone = describe_refusals(find_refusals([make("other")], reading.routes), reading.places, "routes.toml")
    assert gone == (
        "routes.toml:3: route 'national': name = 'national': a route cannot be added while the sender runs; "
        "restart planner, expander, recorder, senders and API with the new file "
        "(also: route 'other' cannot be removed while the sender runs)"
    )
