"""What a demo with a profile says: never more than holds, and a routes file that fits the profile."""

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from broadcast.embedded.demonstration import End, reconcile
from broadcast.embedded.errors import EmbeddedError
from broadcast.embedded.limits import Limits
from broadcast.embedded.options import make_routes
from broadcast.embedded.profiled import ProfiledResult
from broadcast.routing import read_routes
from broadcast.smsc.profile.reading import built_in_profiles, load_profile, read_profile
from broadcast.smsc.profile.tables import Profile

AUDIENCE = (491510000001, 491510000002, 491510000003)
AWAY = End("nothing changed for 60 s", {"account a": "no connection"})
ACCOUNT = {
    "submits": 4,
    "accepted": 3,
    "refused": 1,
    "refused_by_status": {"ESME_RSYSERR": 1},
    "unanswered": 0,
    "highest_per_second": 3,
}


def result(states: Mapping[str, int], seen: Mapping[int, int], end: End | None = None, **stats: Any) -> ProfiledResult:
    found = reconcile(states, AUDIENCE, seen)
    return ProfiledResult(
        "It is hostile.", found, end or End(), {"accounts": {"a": ACCOUNT}, "violations": {}, **stats}
    )


def test_everybody_once_is_exact() -> None:
    found = result({"delivered": 3}, dict.fromkeys(AUDIENCE, 1))
    assert (found.exact, found.problems()) == (True, [])
    assert "all 3 recipients got the message" in list(found.statements())


@pytest.mark.parametrize(
    ("states", "seen", "end", "words"),
    [
        ({"queued": 3}, {}, End("nothing changed for 60 s", {"account a": "no connection"}), "nobody of 3 recipients"),
        (
            {"queued": 3},
            {},
            End("nothing changed for 60 s", {"account a": "no connection"}),
            "account a: no connection",
        ),
        ({"delivered": 2, "rejected": 1}, dict.fromkeys(AUDIENCE[:2], 1), End(), "2 of 3 recipients"),
        ({"delivered": 3}, {**dict.fromkeys(AUDIENCE, 1), AUDIENCE[0]: 2}, End(marked=1), "1 got it more than once"),
        ({"delivered": 2, "unknown": 1}, dict.fromkeys(AUDIENCE, 1), End(), "the others: 1 unknown"),
    ],
)
def test_what_is_not_exact_is_told_and_is_no_problem(
    states: Mapping[str, int], seen: Mapping[int, int], end: End, words: str
) -> None:
    found = result(states, seen, end)
    assert (found.exact, found.problems()) == (False, [])
    assert any(words in statement for statement in found.statements())


@pytest.mark.parametrize(
    ("states", "seen", "end", "words"),
    [
        ({"delivered": 2}, dict.fromkeys(AUDIENCE, 1), End(), "differ by 1"),
        ({"delivered": 3}, dict.fromkeys(AUDIENCE[:2], 1), End(), "3 recipients are called delivered, and only 2"),
        (
            {"delivered": 3},
            {**dict.fromkeys(AUDIENCE, 1), AUDIENCE[0]: 2},
            End(),
            "1 number reached the simulator more",
        ),
        ({"delivered": 3}, {**dict.fromkeys(AUDIENCE, 1), 4917: 1}, End(), "1 number outside the audience"),
        ({"queued": 3}, {}, End(), "3 recipients are still queued"),
    ],
)
def test_what_must_hold_under_every_profile(
    states: Mapping[str, int], seen: Mapping[int, int], end: End, words: str
) -> None:
    assert [words in problem for problem in result(states, seen, end).problems()] == [True]


def test_violations_and_refusals_are_told() -> None:
    told = list(result({"delivered": 3}, dict.fromkeys(AUDIENCE, 1), violations={"window_exceeded": 7}).statements())
    assert told[-1].endswith("window_exceeded 7")
    assert "refused (ESME_RSYSERR 1)" in told[-2]


def test_limits() -> None:
    limits = Limits(stall_seconds=10, most_seconds=100)
    assert limits.exceeded(50, 9) is None
    assert limits.exceeded(50, 11) == "nothing changed for 10 s"
    assert Limits(unbound_seconds=5).exceeded(9, 9) is None
    assert Limits(unbound_seconds=5).exceeded(9, 9, unbound=True) == "nobody could be sent anything for 5 s"
    assert limits.exceeded(101, 9) == "it was not over after 100 s"


@pytest.mark.parametrize("name", built_in_profiles())
def test_the_routes_file_of_a_profile_can_be_read_and_has_its_accounts(name: str) -> None:
    profile = load_profile(name)
    (route,) = read_routes(make_routes(2775, profile))
    assert [account.name for account in route.accounts] == [each.name for each in profile.accounts] or ["simulator"]
    assert not route.live
    limits = {each.name: each.behaviour.get("window_limit", 10_000) for each in profile.accounts}
    assert all(account.window <= limits.get(account.name, 10_000) for account in route.accounts)  # type: ignore[operator]


def test_values_of_every_type_are_written_as_toml() -> None:
    profile = read_profile(
        """
[[accounts]]
name = "a"
password = 'with "quotes"'
port = 2777
client = { window = 7, receipts = false, unknown_policy = { routine = "resend" }, list = [1, "x"] }
""",
        "p.toml",
    )
    (account,) = tomllib.loads(make_routes(2775, profile))["routes"][0]["accounts"]
    assert account == {
        "name": "a",
        "host": "127.0.0.1",
        "port": 2777,
        "system_id": "a",
        "password": 'with "quotes"',
        "simulated": True,
        "window": 7,
        "receipts": False,
        "unknown_policy": {"routine": "resend"},
        "list": [1, "x"],
    }


def test_a_port_that_nobody_knows_before_is_refused() -> None:
    profile = read_profile('[[accounts]]\nname = "a"\nport = 0', "p.toml")
    with pytest.raises(EmbeddedError, match=r"account 'a'.*port = 0"):
        make_routes(2775, profile)
    assert make_routes(2775, Profile())
