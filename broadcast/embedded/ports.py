"""Ports on the loopback: free ones, remembered in the data directory so that the next run has the same addresses."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from broadcast.embedded.directory import write_private
from broadcast.embedded.errors import PortTakenError

LOOPBACK = "127.0.0.1"
FILE_NAME = "ports.json"
LOWEST_PORT = 15_000
OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_chance = random.SystemRandom()
"""Not the seeded one: programs with the same seed that start together would all choose the same port."""


def find_free_port(avoid: Iterable[int] = ()) -> int:
    """A TCP port on the loopback that nobody listens on now.

    It lies below the range from which the kernel takes the ports of outgoing connections: one of those could hold it
    while its server is down, and a client that keeps trying such a port may even connect to itself.
    """
    taken = set(avoid)
    highest = _first_outgoing_port() - 1
    while True:
        port = _chance.randint(LOWEST_PORT, highest) if highest > LOWEST_PORT else 0
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _first_outgoing_port() -> int:
    try:
        return int(OUTGOING_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return LOWEST_PORT


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class Ports:
    """Ports by name: the given one, else the remembered one if it is free, else any free one."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE_NAME
        self._held: set[str] = set()
        self._ports: dict[str, int] = {}
        if self._file.exists():
            self._ports = {name: int(port) for name, port in json.loads(self._file.read_text()).items()}

    def hold(self, name: str, given: int | None = None) -> int:
        """As `choose` the first time; then the same port, though our own server may listen there by now."""
        if name not in self._held:
            self.choose(name, given)
            self._held.add(name)
        return self._ports[name]

    def choose(self, name: str, given: int | None = None) -> int:
        """The port of `name`, remembered from now on; PortTakenError if the given one is in use."""
        if given and not is_free(given):
            raise PortTakenError(
                f"port {given} for {name} is in use by another program: give another one, or none to have a free one"
            )
        port = given or self._ports.get(name)
        others = {other for key, other in self._ports.items() if key != name}
        if port is None or (not given and (port in others or not is_free(port))):
            port = find_free_port(others)
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_private(self._file, json.dumps(self._ports, indent=2, sort_keys=True) + "\n")
        return port
