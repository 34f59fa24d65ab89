"""The routes file: what it takes, and errors that name line, field, value, rule and next step."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from broadcast.routing import ResendUnanswered, RoutesError, check_routes, read_routes
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
system_id = "{account}"
{more}
"""


def write(name: str = "de", account: str = "a", route: str = "", more: str = "") -> str:
    return ROUTE.format(name=name, account=account, route=route, more=more)


def faults(text: str, environment: dict[str, str] | None = None) -> list[str]:
    return [fault.write("r.toml") for fault in check_routes(text, environment).faults]


def test_the_example_holds_the_defaults() -> None:
    (route,) = read_routes(EXAMPLE.read_text(), {"SMSC_PASSWORD": "s3cret"})
    (account,) = route.accounts
    (bare,) = read_routes(write("simulated", "simulator"))
    assert account.password == SecretStr("s3cret")
    changed = {"host", "port", "system_id", "password", "simulated", "source_addr"}
    assert account.model_dump(exclude=changed) == bare.accounts[0].model_dump(exclude=changed)
    assert route.model_dump(exclude={"accounts", "prefixes"}) == bare.model_dump(exclude={"accounts", "prefixes"})
    assert "s3cret" not in repr(route)


OF_ROUTE = "r.toml:{}: route 'de': "
OF_ACCOUNT = "r.toml:{}: route 'de', account 'a': "


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (write(route="live = 'maybe'"), 5, "live = 'maybe': must be true or false; write one of these, without quo"),
        (write(route="live = 'true'"), 5, "live = 'true': must be true or false; write one of these, without quotatio"),
        (write(route="live = 1"), 5, "live = 1: must be true or false; write one of these, without quotation marks"),
        (write(route="colour = 1"), 5, "colour: no such field; remove it; all fields are in docs/settings.md"),
        (write(route="delays_seconds = [30, 5]"), 5, "delays_seconds: must ascend, each delay once; write [5, 30]"),
        (write(route="delays_seconds = [\n5,\n0]"), 7, "delays_seconds[1] = 0: must be at least 1; raise it"),
        (write(route="partitions = 0"), 5, "partitions = 0: must be at least 1; raise it"),
        (write(route="window = 5"), 5, "window: no such field; it belongs into [[routes.accounts]], before any other"),
        (write().replace('"+49"', '"49"'), 4, "prefixes[0] = '49': has the wrong form; write a plus sign and at most"),
        (write().replace('["+49"]', "[]"), 4, "prefixes: must have at least 1; add one"),
    ],
)
def test_a_fault_of_a_route_names_line_field_value_and_step(text: str, line: int, message: str) -> None:
    (found,) = faults(text)
    assert found.startswith(OF_ROUTE.format(line) + message)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("widnow = 1", "widnow: no such field; write 'window'"),
        ("tps = 100", "tps: no such field; write 'rate_per_second'"),
        ("username = 's'", "username: no such field; write 'system_id'"),
        ("window = '6 or 7'", "window = '6 or 7': must be a whole number; write one without quotation marks"),
        ("window = 0", "window = 0: must be at least 1; raise it"),
        ("window = 1.5", "window = 1.5: must be a whole number"),
        ("binds = 65", "binds = 65: must be at most 64; lower it"),
        ("rate_per_second = 0.5", "rate_per_second = 0.5: must be at least 1; raise it"),
        ("rate_per_second = inf", "rate_per_second = inf: must be finite"),
        ("response_timeout_seconds = nan", "response_timeout_seconds = nan: must be finite"),
        ("response_timeout_seconds = 0", "response_timeout_seconds = 0: must be more than 0"),
        ("service_type = 'é'", "service_type = 'é': has the character 'é'; write printable ASCII only"),
        ("service_type = 'CMTCMT'", "service_type = 'CMTCMT': must have at most 5 characters; shorten it"),
        ("system_type = 'ünbekannt'", "system_type = 'ünbekannt': has the character 'ü'; write printable ASCII only"),
        ("source_addr = 'TÖCSIN'", "source_addr = 'TÖCSIN': has the character 'Ö'; write printable ASCII only"),
        ("source_addr = '+491234567'", "source_addr = '+491234567': begins with a plus sign; write the digits only"),
        ("source_addr = '" + "1" * 21 + "'", f"source_addr = '{'1' * 21}': must have at most 20 characters; shorten"),
        ("source_addr = 'TWELVE-CHARS'", "source_addr = 'TWELVE-CHARS': has 12 characters, a name at most 11; shorten"),
        ("source_addr = 'abc'\nsource_ton = 1", "source_addr = 'abc': must be digits with source_ton = 1; remove"),
        ("source_ton = 5", "source_ton = 5: is the type of a name, and source_addr is empty; remove source_ton"),
        ("source_addr = '112'\nsource_ton = 5", "source_ton = 5: is the type of a name, and source_addr '112' is a"),
        ("message_id_rule = 'guess'", "message_id_rule = 'guess': must be 'as_is', 'case_insensitive', "),
        ("resend_unanswered = { routine = 11 }", "resend_unanswered.routine = 11: must be at most 10; lower it"),
        ("unknown_policy = { routine = 'hold' }", "unknown_policy: no such field; write 'resend_unanswered'"),
        (
            "[routes.accounts.resend_unanswered]\nbinds = 2",
            "resend_unanswered.binds: no such field; it belongs into [[routes",
        ),
        (
            "command_status = { '0x0401' = 'blocked' }",
            "command_status: '0x0401' = 'blocked' is no meaning; write one of of_message,",
        ),
        ("pause_seconds = { '0x0401' = 0 }", "pause_seconds: '0x0401' = 0 is no pause; write whole seconds from 1 to"),
        ("pause_seconds = { '0x0' = 60 }", "pause_seconds: '0x0' is not 0x00000001 to 0xFFFFFFFF"),
        ("command_status = { '0x' = 'number_for_now' }", "command_status: '0x' is no command_status; write it like"),
        ("command_status = { '0x0' = 'number_for_now' }", "command_status: '0x0' is not 0x00000001 to 0xFFFFFFFF"),
        ("tls = true", "tls = true: must be a table; write it as a table, { name = value }"),
        ("tls = { server_name = '' }", "tls.server_name = '': is empty; write it"),
        ("tls = { server_name = 'smsc:3550' }", "tls.server_name = 'smsc:3550': has a port in it; write"),
        ("tls = { key_file = 'k.pem' }", "tls.key_file = 'k.pem': stands without certificate_file; add the certifi"),
        ("password = ''", "password: is empty; write the password, or leave the field out"),
        ("password = 'päss'", "password: has a character that is not printable ASCII; ask the carrier"),
        (f"password = '{'p' * 65}'", "password: has 65 characters, at most 64; ask the carrier for a shorter one"),
        ("password = 'env:NOT_SET'", "password: names the variable NOT_SET, which is not set; set it"),
        ("password = 'env:EMPTY'", "password: names the variable EMPTY, which is empty; write the password, or leave"),
        ("interface_version = 3.4", "interface_version = 3.4: must be '3.3', '3.4' or '5.0'; write one of these"),
        ("long_messages = 'tlv'", "long_messages = 'tlv': must be 'udh', 'udh8', 'sar' or 'payload'; write one of"),
        ("interface_version = '3.3'\nlong_messages = 'sar'", "long_messages = 'sar': needs optional parameters, which"),
        ("interface_version = '3.3'\nuser_message_reference = true", "user_message_reference = true: is an optional"),
        ("replace_if_present = true", "replace_if_present = true: does not go with long_messages = 'udh': the second"),
        ("validity = 'of'", "validity = 'of': must be 'relative', 'absolute' or 'off'"),
        (
            "validity = 'off'\nvalidity_limit_seconds = 60",
            "validity_limit_seconds = 60: does not go with validity = 'off'",
        ),
        ("validity_limit_seconds = 59", "validity_limit_seconds = 59: must be at least 60; raise it"),
        ("priority_flag = 4", "priority_flag = 4: must be 0 to 3; write one of these, or a table of lanes"),
        ("priority_flag = { immediate = 4 }", "priority_flag.immediate = 4: must be at most 3; lower it"),
        ("flash = 'immediate'", "flash = 'immediate': must be a table; write it as a table, { name = value }"),
        ("addr_ton = 7", "addr_ton = 7: must be at most 6; lower it"),
        ("bind_mode = 'trx'", "bind_mode = 'trx': must be 'transceiver' or 'transmitter_receiver'; write one of these"),
        ("receivers = 2", "receivers = 2: says nothing with bind_mode = 'transceiver'; remove it: write binds, or"),
        ("bind_mode = 'transmitter_receiver'\nbinds = 2", "binds = 2: says nothing with bind_mode = 'transmitter_re"),
        ("enquire_link_seconds = 100", "inactivity_seconds: is not longer than enquire_link_seconds = 100: each"),
        ("backoff_limit_seconds = 0.1", "backoff_seconds: is longer than backoff_limit_seconds = 0.1; lower the"),
    ],
)
def test_a_fault_of_an_account_names_line_field_value_and_step(field: str, message: str) -> None:
    text = write(more=field)
    (found,) = faults(text, {"EMPTY": ""})
    place, _, rest = found.partition(": ")
    assert rest.startswith(f"route 'de', account 'a': {message}")
    on_line = text.splitlines()[int(place.removeprefix("r.toml:")) - 1]
    name = message.split(" ", maxsplit=1)[0].rstrip(":").rpartition(".")[2]
    assert name in on_line or on_line == "[[routes.accounts]]"


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "host = '': is empty; write it"),
        ("smsc example", "has a space in it; remove it"),
        (" smsc", "has a space in it; remove it"),
        ("smpp://smsc.example.net", "is a URL; write the host only, and the port in `port`"),
        ("smsc.example.net:2775", "has a port in it; write the port in `port`"),
        ("[::1]", "has brackets; write an IPv6 address without brackets"),
        ("münchen.example", "has the character 'ü'; write printable ASCII only"),
        ("999.1.1.1", "is neither a host name nor an IP address; write one, such as smpp.example.net"),
        ("a..b", "is neither a host name nor an IP address"),
        ("-a.example", "is neither a host name nor an IP address"),
        ("x" * 64, "is neither a host name nor an IP address"),
    ],
)
def test_a_host_that_cannot_be_is_refused(host: str, message: str) -> None:
    (found,) = faults(write().replace("127.0.0.1", host))
    assert found.startswith(OF_ACCOUNT.format(8))
    assert message in found


@pytest.mark.parametrize(
    "host", ["localhost", "smsc", "SMPP.example.net", "a_b.example.", "10.0.0.1", "::1", "fe80::1"]
)
def test_hosts_by_name_and_by_address_are_taken(host: str) -> None:
    assert not faults(write().replace("127.0.0.1", host))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes = [", "r.toml:1: is not TOML: Invalid value; correct the line"),
        (write(more="port = 2"), "r.toml:11: is not TOML: this field stands twice in its table; correct the line"),
        ("\n\nname 1", "r.toml:3: is not TOML: Expected '=' after a key in a key/value pair; correct the line"),
        ("a = " + "[" * 100_000, "r.toml: is not TOML: its brackets are too deep; correct it"),
        ("a = " + "1" * 5_000, "r.toml: is not TOML: Exceeds the limit"),
        ("", "r.toml: routes: is missing; add it"),
        ("routes = []", "r.toml:1: routes: must have at least 1; add one"),
        ("routes = 1", "r.toml:1: routes = 1: must be a list; write it in square brackets"),
        ("[[route]]", "r.toml:1: route: no such field; write 'routes'"),
        ("[[routes]]\nname = 'De'", "r.toml:2: route 'De': name = 'De': has the wrong form; write small letters"),
        ("[[routes]]\n[[routes.accounts]]", "r.toml:1: route 1: name: is missing; add it"),
        ("[[routes]]\n[[routes.accounts]]", "r.toml:2: route 1, account 1: host: is missing; add it"),
    ],
)
def test_a_text_that_is_no_routes_file_is_refused(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in faults(text))


def test_every_fault_is_found_at_once_and_in_the_order_of_lines() -> None:
    text = write("De", route="live = 1.5", more="window = 0\nhost_ = 1") + write("fr", "b", more="source_ton = 5")
    text = text.replace('"+49"', '"49"', 1)
    assert [found.split(": ", 2)[0] + " " + found.split(": ")[2].split(" ")[0] for found in faults(text)] == [
        "r.toml:3 name",
        "r.toml:4 prefixes[0]",
        "r.toml:5 live",
        "r.toml:11 window",
        "r.toml:12 host_",
        "r.toml:23 source_ton",
    ]


@pytest.mark.parametrize(("old", "new"), [("of_number", "number_for_now"), ("invalid_number", "number_for_good")])
def test_a_meaning_by_its_older_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    [found] = faults(write(more=f'command_status = {{ "0x0401" = "{old}" }}'))
    assert found.endswith(f"'0x0401' = '{old}' is called '{new}'; write that")


LOGIN = (
    "r.toml:{}: route 'fr', account 'b': system_id = 'a': the same login (host, port, system_id) stands on line 10, so "
    "receipts of one account come to the other and name no message there; keep one account, with `binds = N` for more "
    "sessions; or write each its own address_range"
)


def test_two_accounts_with_one_login_are_refused_since_receipts_come_to_either() -> None:
    other = write("fr", "b").replace("+49", "+33")
    assert faults(write() + other) == []
    shared = other.replace('system_id = "b"', 'system_id = "a"')
    assert faults(write() + shared) == [LOGIN.format(21)]
    named = [one.replace("127.0.0.1", host) for one, host in ((write(), "smsc.test"), (shared, "SMSC.test"))]
    assert faults("".join(named)) == [LOGIN.format(21)]
    assert faults(write() + re.sub("port = .*", "port = 7", shared)) == []
    ranged = write(more="address_range = '^49'") + shared + "address_range = '^33'"
    assert faults(ranged) == []
    assert len(faults(ranged.replace("^33", "^49"))) == 1


def test_names_stand_once_in_the_file_and_prefixes_once_among_live_routes() -> None:
    assert faults(write() + write(account="b").replace("+49", "+33")) == [
        "r.toml:14: route 'de': name = 'de': the same route name stands on line 3; each may stand once: change one"
    ]
    assert faults(write() + write("fr").replace("+49", "+33")) == [
        "r.toml:18: route 'fr', account 'a': name = 'a': the same account name stands on line 7; each may stand once: "
        "change one"
    ]
    assert faults(write() + write("fr", "b")) == [
        "r.toml:15: route 'fr': prefixes[0] = '+49': the same prefix of a test route stands on line 4; each may "
        "stand once: change one"
    ]
    assert not faults(write() + write("fr", "b", route="live = true"))


def test_the_error_names_the_first_fault_and_how_to_see_the_others() -> None:
    with pytest.raises(RoutesError) as caught:
        read_routes(write(route="partitions = 0", more="window = 0\nbinds = 0"), name="ops/r.toml")
    assert str(caught.value) == (
        "ops/r.toml:5: route 'de': partitions = 0: must be at least 1; raise it "
        "(2 more: `broadcast routes check ops/r.toml` shows all)"
    )
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    "written", ["12345", "'x12345'", "{ a = 'x12345' }", "'é12345'", "'env:VARIABLE'", "['12345']"]
)
def test_no_fault_holds_a_password(written: str) -> None:
    text = write(more=f"password = {written}\nwindow = 0\npasswort = '12345'\nPassword = '12345'")
    found = "\n".join(faults(text, {"VARIABLE": "é12345"}))
    assert "window = 0" in found
    assert "write 'password'" in found
    assert "12345" not in found


def test_a_password_longer_than_the_standard_has_it_is_taken() -> None:
    (route,) = read_routes(write(more="password = 'twelve-chars'"))
    assert route.accounts[0].password == SecretStr("twelve-chars")


def test_a_pause_after_a_command_status_is_at_most_the_longest_delay_of_the_route() -> None:
    [route] = read_routes(write(more='pause_seconds = { "0x0401" = 120 }'))
    assert route.accounts[0].pause_seconds == {0x401: 120}
    (found,) = faults(write(more='pause_seconds = { "0x0401" = 121 }'))
    assert "accounts: has pause_seconds of 121, longer than all delays_seconds of the route; add 121 to" in found


@pytest.mark.parametrize("page", ["README.md", "docs/sender.md", "docs/explanation/guarantees-and-limits.md"])
def test_pages_say_how_often_a_message_that_nothing_answered_is_sent_again_by_default(page: str) -> None:
    words = " ".join((Path(__file__).parents[3] / page).read_text(encoding="utf-8").split())
    assert {ResendUnanswered().of(lane) for lane in Lane} == {1}, "then correct the pages, and this test"
    assert re.search(r"\(once by default\)|by default once in each lane|once by default in each lane", words)


def test_how_often_a_message_that_nothing_answered_is_sent_again_is_a_setting_by_lane() -> None:
    assert [ResendUnanswered().of(lane) for lane in Lane] == [1, 1, 1], "everybody is to be reached"
    (route,) = read_routes(write(more="resend_unanswered = { immediate = 3, routine = 2 }"))
    assert [route.accounts[0].resend_unanswered.of(lane) for lane in Lane] == [3, 1, 2]


def test_an_account_says_what_its_smsc_means_by_a_command_status() -> None:
    [route] = read_routes(write(more='command_status = { "0x0401" = "number_for_now", "1026" = "number_for_good" }'))
    assert route.accounts[0].command_status == {0x401: "number_for_now", 1026: "number_for_good"}
    [route] = read_routes(write(more='command_status = { "0x1" = "of_account", "0xFFFFFFFF" = "throttled" }'))
    assert route.accounts[0].command_status == {1: "of_account", 0xFFFFFFFF: "throttled"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("", (0, 0)),
        ("source_addr = 'TOCSIN'", (5, 0)),
        ("source_addr = '1-800-ALERT'", (5, 0)),
        ("source_addr = '112'", (3, 0)),
        ("source_addr = '112112'", (3, 0)),
        ("source_addr = '4915112345678'", (1, 1)),
        ("source_addr = '015112345678'", (0, 0)),
        ("source_addr = '112'\nsource_ton = 0", (0, 0)),
        ("source_addr = '112'\nsource_ton = 2", (2, 1)),
        ("source_addr = '112'\nsource_ton = 3\nsource_npi = 8", (3, 8)),
    ],
)
def test_the_type_of_the_sender_follows_from_it(fields: str, expected: tuple[int, int]) -> None:
    (route,) = read_routes(write(more=fields))
    assert route.accounts[0].source_type == expected


VALUES = st.recursive(
    st.one_of(
        st.integers(-(10**30), 10**30).map(str),
        st.floats().map(repr),
        st.sampled_from(["true", "false", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "''", "9" * 5000]),
        st.text(st.characters(exclude_characters="'\n\r", exclude_categories=["Cc", "Cs"]), max_size=30).map(
            lambda value: f"'{value}'"
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.dictionaries(st.sampled_from(["name", "ca_file", "immediate", "x"]), inner, max_size=2).map(
            lambda each: "{" + ", ".join(f"{key} = {value}" for key, value in each.items()) + "}"
        ),
    ),
    max_leaves=4,
)
FIELDS = st.sampled_from([
    "name", "host", "port", "system_id", "password", "tls", "window", "accounts", "prefixes", "live", "x", "routes",
    "delays_seconds", "source_addr", "source_ton", "rate_per_second", "resend_unanswered", "message_id_rule", "a.b",
])  # fmt: skip
HEADERS = st.sampled_from(
    ["[[routes]]", "[[routes.accounts]]", "[routes]", "[routes.accounts.tls]", "[x]", "[[routes.accounts.x]]", "[["]
)


@given(st.lists(st.one_of(HEADERS, st.tuples(FIELDS, VALUES).map(" = ".join), st.text(max_size=8)), max_size=12))
def test_any_text_has_routes_or_faults_on_its_lines(lines: list[str]) -> None:
    text = "\n".join(lines)
    reading = check_routes(text)
    assert bool(reading.routes) is not bool(reading.faults)
    assert all(0 <= fault.line <= text.count("\n") + 1 for fault in reading.faults)


@given(FIELDS, VALUES, st.sampled_from([4, 10]))
def test_any_field_of_a_good_file_may_have_any_value(field: str, value: str, after: int) -> None:
    lines = [line for line in write().split("\n") if not line.startswith(f"{field} =")]
    reading = check_routes("\n".join([*lines[:after], f"{field} = {value}", *lines[after:]]))
    assert bool(reading.routes) is not bool(reading.faults)


@pytest.mark.parametrize("more", ["weight = 0", "fallback = true", "weight = 0.0\nfallback = true"])
def test_a_route_needs_an_account_that_sends(more: str) -> None:
    with pytest.raises(RoutesError, match="has no account that sends; give one a weight above 0, without fallback"):
        read_routes(write(more=more))


@pytest.mark.parametrize("weight", ["-1", "1001", '"much"'])
def test_a_weight_is_a_number_from_0_to_1000(weight: str) -> None:
    with pytest.raises(RoutesError, match="weight"):
        read_routes(write(more=f"weight = {weight}"))


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ('fallback_route = "none"', "", "is no other route of this file; name one"),
        ('fallback_route = "one"', "", "is no other route of this file; name one"),
        ('fallback_route = "two"\nlive = true', "", "is not live as this route is, or the other way round"),
        ('fallback_route = "two"', 'fallback_route = "one"', "has a fallback_route itself; name one that has none"),
    ],
)
def test_a_fallback_route_is_another_of_the_same_kind_without_a_fallback(first: str, second: str, rule: str) -> None:
    text = write("one", "a", first) + write("two", "b", second).replace("+49", "+44")
    assert any(rule in fault and "fallback_route" in fault for fault in faults(text))


@pytest.mark.parametrize(
    ("first", "rule"),
    [
        ('undelivered_route = "none"', "is no other route of this file; name one"),
        ('undelivered_route = "one"', "is no other route of this file; name one"),
        ('undelivered_route = "two"\nlive = true', "is not live as this route is, or the other way round"),
    ],
)
def test_an_undelivered_route_is_another_of_the_same_kind(first: str, rule: str) -> None:
    text = write("one", "a", first) + write("two", "b").replace("+49", "+44")
    assert any(rule in fault and "undelivered_route" in fault for fault in faults(text))


def test_two_routes_may_be_the_undelivered_route_of_each_other() -> None:
    text = write("one", "a", 'undelivered_route = "two"')
    text += write("two", "b", 'undelivered_route = "one"').replace("+49", "+44")
    assert [route.undelivered_route for route in read_routes(text)] == ["two", "one"]


def test_a_fallback_route_is_read() -> None:
    text = write("one", "a", 'fallback_route = "two"') + write("two", "b").replace("+49", "+44")
    assert [route.fallback_route for route in read_routes(text)] == ["two", None]


SECRETS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\"\\'"), max_size=50).map(
    lambda text: f"S3CRET{text}"
)


@given(
    secret=SECRETS,
    field=st.sampled_from(["host", "name", "window", "server_name", "bind_mode"]),
    form=st.sampled_from(["user:{}@smsc.example.net", "smpp://user:{}@h:2775", "{}@h", "https://h/?password={}"]),
)
def test_a_password_in_any_value_is_in_no_error(secret: str, field: str, form: str) -> None:
    value = form.format(secret)
    if "?password=" in form:
        value = value.translate({ord(mark): None for mark in " &;,"})
    line = f'tls.server_name = "{value}"' if field == "server_name" else f'{field} = "{value}"'
    text = (
        re.sub(rf"^{field} = .*$", "", write(account="a"), flags=re.MULTILINE) if field in ("host", "name") else write()
    )
    found = faults(f"{text}\n{line}\n" if field != "name" else write(account=value))
    assert found
    assert "S3CRET" not in "".join(found)


def test_a_value_with_a_login_is_shown_without_it() -> None:
    [fault] = faults(write(more='tls.server_name = "user:SECRET@smsc.example.net"'))
    assert "server_name = '[hidden]@smsc.example.net': " in fault
    [fault] = faults(write(more='command_status = { "0x0401" = "user:SECRET@h" }'))
    assert "SECRET" not in fault
