"""When who was refused for now is tried again, by the route's delays and what the SMSC answered."""

from datetime import UTC, datetime, timedelta

import pytest

from broadcast.audit.deliveries.queued import Waiting, add_by_reason, find_next_try
from broadcast.routing import Account, Route
from broadcast.smpp.codec.command_status import RINVSRCADR, RMSGQFUL, RTHROTTLED

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACCOUNT = Account(name="a", host="h", port=2775, system_id="s", pause_seconds={"0x14": 20})
OTHER = Account(name="b", host="h", port=2775, system_id="t")
ROUTE = Route(name="home", prefixes=("+49",), delays_seconds=(5, 30, 120), accounts=(ACCOUNT, OTHER))


@pytest.mark.parametrize(
    ("account", "error", "attempt", "seconds"),
    [
        ("b", RMSGQFUL, 1, 5),
        ("b", RMSGQFUL, 2, 30),
        ("b", RMSGQFUL, 9, 120),
        ("a", RMSGQFUL, 1, 30),
        ("b", RTHROTTLED, 1, 5),
        ("b", RTHROTTLED, 2, 5),
        ("a", RINVSRCADR, 1, 5),
        ("unknown", RMSGQFUL, 3, 120),
    ],
    ids=[
        "the first delay",
        "the second delay",
        "the last delay ever after",
        "at least what the account asks for",
        "throttled",
        "throttled again: one step less",
        "another account at once",
        "an account that the file has no more",
    ],
)
def test_the_next_try_comes_after_the_delay_of_the_attempt(
    account: str, error: int, attempt: int, seconds: int
) -> None:
    assert find_next_try(ROUTE, account, error, attempt, AT) == AT + timedelta(seconds=seconds)


def test_one_line_for_each_reason_with_the_first_of_the_next_tries() -> None:
    later = AT + timedelta(seconds=9)
    rows = [Waiting("full", 1, later), Waiting("off", 3, later), Waiting("full", 1, AT)]
    assert add_by_reason(rows) == (Waiting("off", 3, later), Waiting("full", 2, AT))
