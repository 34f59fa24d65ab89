"""The table of limits in the reference of the HTTP API says what the constants say."""

from pathlib import Path

import pytest

from broadcast.api import access
from broadcast.api.connections import (
    acceptor,
    anonymous_turns,
    connection_limits,
    http_connection,
    key_turns,
    requests_in_work,
)
from broadcast.api.connections.key_turns import Kind
from broadcast.api.routes import strict_json
from broadcast.health import http_server
from broadcast.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "http-api.md"

KIB = 1024
SHARES = {8: "seven eighths of the connections; seven eighths of those of an address"}
QUARTER = 4
PARTS = {2: "half", 4: "a quarter", 5: "a fifth"}

EXPECTED = {
    "request line and header fields": f"{http_connection.HEAD_BYTES_MAX // KIB} KiB",
    "time until the header fields are there": f"{http_connection.HEAD_SECONDS:g} s",
    "time for a TLS handshake": f"{acceptor.HANDSHAKE_SECONDS:g} s; {acceptor.HANDSHAKES_MAX}",
    "time for a body; for that of a cancel": f"{access.BODY_SECONDS:g} s; {access.STOP_BODY_SECONDS:g} s",
    "requests with a key that are in work": SHARES[requests_in_work.KEPT_SHARE] + "; a quarter of all",
    "processor time of the API for requests with a key": (
        f"{PARTS[key_turns.SHARES[Kind.READ]]} of all time for reads,"
        f" {PARTS[key_turns.SHARES[Kind.ALERT]]} for the others; keys share each, and a read does not delay an alert;"
        f" of each request, {key_turns.OUTSIDE_SECONDS * 1000:g} ms more than was measured"
    ),
    "reads of one key that are in work": f"{key_turns.READS_AT_ONCE}",
    "time until an answer is taken": (
        f"{acceptor.UNREAD_MILLISECONDS // 1000} s without progress; {http_connection.HEAD_SECONDS:g} s in all"
    ),
    "connections, and of one address": (
        f"{Settings.model_fields['api_connections'].default} and"
        f" {Settings.model_fields['api_connections_per_address'].default} (`BROADCAST_API_CONNECTIONS`,"
        f" `…_PER_ADDRESS`), at most file descriptors less {connection_limits.DESCRIPTORS_KEPT}"
    ),
    "requests without a valid key": (
        "one at a time; after t seconds of processor time, none for"
        f" {anonymous_turns.PAUSE_FACTOR} × (t + {key_turns.OUTSIDE_SECONDS * 1000:g} ms)"
        f", {PARTS[anonymous_turns.PAUSE_FACTOR + 1]} of all time"
    ),
    "of these, those that wait": f"{anonymous_turns.WAITING_MAX}",
    "body of a cancel or a test message": (
        f"{strict_json.SMALL_BYTES_MAX // KIB} KiB; {strict_json.SMALL_VALUES_MAX} fields and list members"
    ),
    "age of `/metrics`": f"{http_server.METRICS_SECONDS:g} s",
    "other bodies": f"{access.BODY_BYTES_MAX // KIB // KIB} MiB",
}


@pytest.mark.parametrize("what", EXPECTED)
def test_the_table_of_limits_has_the_value_of_the_constant(what: str) -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith(f"| {what}")]
    assert [row[1] for row in rows] == [EXPECTED[what]]


def test_what_is_told_of_late_header_fields_and_unparsed_octets_has_the_constants() -> None:
    assert requests_in_work.PER_KEY_SHARE == QUARTER
    assert f"within {http_connection.HEAD_SECONDS:g} s".encode() in http_connection.LATE
    assert f"over {http_connection.UNPARSED_BYTES_MAX // KIB} KiB that came before" in PAGE.read_text()
