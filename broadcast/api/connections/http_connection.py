"""HTTP/1.1 as uvicorn speaks it, with an end to waiting for the head of a request."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from broadcast.api.connections.open_connections import OpenConnections
from broadcast.clock import monotonic

HEAD_SECONDS = 10.0
"""From the connection, or the end of the answer before, until all header fields of a request are there."""

HEAD_BYTES_MAX = 16_384
"""Request line and header fields together."""

UNPARSED_BYTES_MAX = 65_536
"""What may have come after a request that is in work; it is parsed after the answer."""

LATE_TEXT = b"the header fields did not come within %d s\n" % HEAD_SECONDS
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(LATE_TEXT), LATE_TEXT)
)


class BoundedProtocol(H11Protocol):
    """One connection. `connections` holds it from the accepting on, and knows while it may be closed.

    That is while it waits for a request, and while its request has no valid key: `keep` ends it.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        connections: OpenConnections,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = connections
        self._begun = False
        self._made = False
        self._opening: asyncio.Task[None] | None = None

    def open_by(self, opening: asyncio.Task[None]) -> None:
        """Note the task that makes the connection: it ends if the connection is closed before."""
        self._opening = opening

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request. Its time begins here: a TLS handshake has a time of its own."""
        super().connection_made(transport)
        self._made = True
        self._open.begin_waiting(self, monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._open.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came; what follows a request that is in work is parsed after the answer to it."""
        self._begun = True
        super().data_received(data)
        if self.flow.read_paused and len(self.conn.trailing_data[0]) > UNPARSED_BYTES_MAX:
            self.close_at_once()

    def handle_events(self) -> None:
        """Parse what came, up to the end of one request. Only a valid key then keeps the connection."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self._in_work():
            self.cycle.scope["state"]["connection"] = self
            self._open.begin_waiting(self, monotonic())

    def on_response_complete(self) -> None:
        """The next request is waited for, unless it is there already."""
        self._begun = False
        self._open.begin_waiting(self, monotonic())
        super().on_response_complete()

    def keep(self) -> None:
        """Note that the request in work has a valid key: the connection is closed for no other."""
        self._open.end_waiting(self)

    def gone(self) -> bool:
        """Whether nobody is there for an answer."""
        return self.transport.is_closing()

    def end_late(self) -> None:
        """Close it: its request did not come, or its answer was not taken. Who has begun a request is told."""
        if not self._made or self._in_work():
            self.close_at_once()
            return
        if self._begun and not self.transport.is_closing():
            self.transport.write(LATE)
        self.transport.close()

    def close_at_once(self) -> None:
        """Close it for another, also before it is made."""
        if self._made:
            self.transport.abort()
        elif self._opening is not None:
            self._opening.cancel()

    def _in_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
