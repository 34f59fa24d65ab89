"""Ports that are chosen and remembered."""

import socket
from pathlib import Path

import pytest

from broadcast.embedded.errors import PortTakenError
from broadcast.embedded.ports import LOOPBACK, Ports, find_free_port, is_free


def test_found_port_is_below_those_of_outgoing_connections() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(find_free_port() < first_outgoing for _ in range(20))


def test_port_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    port = Ports(tmp_path).choose("kafka")
    assert Ports(tmp_path).choose("kafka") == port
    assert Ports(tmp_path).choose("postgres") != port


def test_given_port_wins_and_is_remembered(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    given = find_free_port([ports.choose("api")])
    assert ports.choose("api", given) == given
    assert Ports(tmp_path).choose("api") == given


def test_a_given_port_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} for api"):
            Ports(tmp_path).choose("api", port)


@pytest.mark.parametrize("count", [50])
def test_free_ports_are_free_and_not_those_to_avoid(count: int) -> None:
    seen: list[int] = []
    for _ in range(count):
        port = find_free_port(seen)
        assert port not in seen
        assert is_free(port)
        seen.append(port)
