"""How many requests with a key may be in work at once; places that only stops may take. No I/O."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from broadcast.api.connections.connection_limits import ConnectionLimits

PER_KEY_SHARE = 4
"""One key may have a quarter of all connections at work, or it could keep all others out."""

KEPT_SHARE = 8
"""An eighth of all connections, and of those of one address, never has a request in work that is no stop."""


class TooManyRequestsError(Exception):
    """One more request of this kind would leave no room for stops; the message says of whom."""


class RequestsInWork:
    """Requests of callers with a key, from the header fields to the answer.

    A connection without a request in work gives way to a new one, so a new stop gets in as long as some connections
    have none: this keeps them so, of all and of each address.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._total = limits.total - limits.total // KEPT_SHARE
        self._per_address = limits.per_address - limits.per_address // KEPT_SHARE
        self._per_key = max(limits.total // PER_KEY_SHARE, 1)
        self._keys: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._keys.total()

    @contextmanager
    def enter(self, key: str, address: str, *, stop: bool) -> Iterator[None]:
        """Hold a place while the context is open. A stop needs none; others raise TooManyRequestsError without one."""
        if stop:
            yield
            return
        if self._keys[key] >= self._per_key:
            raise TooManyRequestsError(f"{self._keys[key]} requests with this key are in work")
        if self._addresses[address] >= self._per_address:
            raise TooManyRequestsError(f"{self._addresses[address]} requests of this address are in work")
        if len(self) >= self._total:
            raise TooManyRequestsError(f"{len(self)} requests are in work")
        self._keys[key] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            for counter, name in ((self._keys, key), (self._addresses, address)):
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]
