"""The routes file: what it takes, and errors that name field, value and next step."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from broadcast.routing import RoutesError, UnknownPolicy, read_routes
from schemas.lane import Lane

EXAMPLE = Path(__file__).parents[3] / "examples" / "routes.toml"

ROUTE = """
[[routes]]
name = "{name}"
prefixes = ["+49"]
{route}
[[routes.accounts]]
name = "{account}"
host = "127.0.0.1"
port = 2775
system_id = "x"
{more}
"""


def write(name: str = "de", account: str = "a", route: str = "", more: str = "") -> str:
    return ROUTE.format(name=name, account=account, route=route, more=more)


def test_the_example_holds_the_defaults() -> None:
    (route,) = read_routes(EXAMPLE.read_text(), {"SMSC_PASSWORD": "s3cret"})
    (account,) = route.accounts
    (bare,) = read_routes(write("simulated", "simulator"))
    assert account.password == SecretStr("s3cret")
    changed = {"host", "port", "system_id", "password", "source_addr"}
    assert account.model_dump(exclude=changed) == bare.accounts[0].model_dump(exclude=changed)
    assert route.model_dump(exclude={"accounts", "prefixes"}) == bare.model_dump(exclude={"accounts", "prefixes"})
    assert "s3cret" not in repr(route)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes = [", "routes file: is not TOML"),
        ("", "routes: is missing; add it"),
        ("routes = []", "routes"),
        (write("De"), r"routes\[0\].name = 'De'"),
        (write(route="live = 'maybe'"), r"routes\[0\].live = 'maybe'"),
        (write(route="colour = 1"), r"routes\[0\].colour: no such field"),
        (write(route="delays_seconds = [30, 5]"), r"routes\[0\].delays_seconds: must ascend"),
        (write(route="partitions = 0"), r"routes\[0\].partitions = 0"),
        (write().replace('"+49"', '"49"'), r"routes\[0\].prefixes\[0\] = '49'"),
        (write(more="port_ = 1"), r"routes\[0\].accounts\[0\].port_: no such field"),
        (write(more='source_addr = "TWELVE-CHARS"'), "11 characters"),
        (write(more='source_addr = "abc"\nsource_ton = 1'), "must be digits"),
        (write(more='message_id_rule = "guess"'), "message_id_rule = 'guess'"),
        (write(more="unknown_policy = { routine = 'drop' }"), "unknown_policy.routine = 'drop'"),
        (write(more='command_status = { "0x0401" = "blocked" }'), r"command_status.*'blocked'.*of_message"),
        (write(more='command_status = { "0x" = "of_number" }'), r"command_status.*'0x' is no command_status; write"),
        (write(more='command_status = { "0x0" = "of_number" }'), r"command_status.*'0x0' is not 0x00000001 to"),
        (write(more="password = 'env:NOT_SET'"), "variable NOT_SET, which is not set"),
        (write() + write(account="b"), "route name 'de' is used 2 times"),
        (write() + write("fr"), "account name 'a' is used 2 times"),
    ],
)
def test_errors_name_field_and_value(text: str, message: str) -> None:
    with pytest.raises(RoutesError, match=message):
        read_routes(text)


def test_errors_hold_no_password() -> None:
    with pytest.raises(RoutesError) as caught:
        read_routes(write(more="password = 12345\nwindow = 0"))
    assert "window = 0" in str(caught.value)
    assert "12345" not in str(caught.value)


def test_the_unknown_policy_is_by_lane() -> None:
    assert [UnknownPolicy().of(lane) for lane in Lane] == ["resend", "resend", "hold"]


def test_an_account_says_what_its_smsc_means_by_a_command_status() -> None:
    [route] = read_routes(write(more='command_status = { "0x0401" = "of_number", "1026" = "invalid_number" }'))
    assert route.accounts[0].command_status == {0x401: "of_number", 1026: "invalid_number"}
