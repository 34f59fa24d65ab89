"""What may change in the routes while a sender runs, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing import Account, Route
from broadcast.sending.accounts.reload import find_refusals, hash_routes


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


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"partitions": 8}, "partitions of route national is 8, was 4"),
        ({"delays_seconds": [5, 30]}, "delays_seconds of route national is 5, 30, was 5, 30, 120"),
        ({"live": True}, "live of route national is True, was False"),
        ({"prefixes": ["+49", "+44"]}, "prefixes of route national is +49, +44, was +"),
    ],
)
def test_what_topics_and_other_stages_rest_on_is_refused(fields: dict[str, Any], refusal: str) -> None:
    assert find_refusals([make()], [make(**fields)]) == [refusal]


def test_a_route_that_comes_or_goes_is_refused() -> None:
    one, other = make(), make("other", prefixes=["+49"])
    assert find_refusals([one], [one, other]) == ["route other is new"]
    assert find_refusals([one, other], [one]) == ["route other is gone"]
    assert find_refusals([one, other], [other, one]) == []
