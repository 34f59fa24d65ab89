"""The connections that are open, by address, and those that have not said what they want. No I/O."""

from collections import Counter
from typing import Protocol

from broadcast.api.connections.connection_limits import ConnectionLimits


class Closable(Protocol):
    """A connection that can be closed at once."""

    def close_at_once(self) -> None:
        """Close it, whatever it waits for."""


class OpenConnections:
    """Who has a connection, and which of them wait for a request with a valid key: oldest first.

    A new connection never has to wait for one without such a request: where a limit is reached, the oldest that waits
    is closed for it, of the same address first. Only if all of them have one in work is the new one refused.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._addresses: dict[Closable, str] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Closable, float] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def make_room(self, address: str) -> bool:
        """Whether there is room for one more of this address; what waits may be closed for it."""
        if self._counts[address] >= self.limits.per_address:
            return self._close_oldest(address)
        return len(self) < self.limits.total or self._close_oldest(None)

    def add(self, connection: Closable, address: str, now: float) -> None:
        """Keep a new connection, which waits for its first request since `now`."""
        self._addresses[connection] = address
        self._counts[address] += 1
        self._waiting[connection] = now

    def remove(self, connection: Closable) -> None:
        """Forget a connection; a second time changes nothing."""
        self._waiting.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def begin_waiting(self, connection: Closable, now: float) -> None:
        """Note that a connection has no request with a valid key in work since `now`."""
        if connection in self._addresses:
            self._waiting.pop(connection, None)
            self._waiting[connection] = now

    def end_waiting(self, connection: Closable) -> None:
        """Note that a request with a valid key is in work."""
        self._waiting.pop(connection, None)

    def waiting_since(self, before: float) -> list[Closable]:
        """Those that wait since before this instant."""
        found = []
        for connection, since in self._waiting.items():
            if since > before:
                break
            found.append(connection)
        return found

    def has_waited_since(self, connection: Closable, before: float) -> bool:
        """Whether one waits since before this instant."""
        return self._waiting.get(connection, before + 1) <= before

    def _close_oldest(self, address: str | None) -> bool:
        for connection in self._waiting:
            if address is None or self._addresses[connection] == address:
                self.remove(connection)
                connection.close_at_once()
                return True
        return False
