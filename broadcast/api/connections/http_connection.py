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

LATE_TEXT = b"the header fields did not come within 10 s\n"
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(LATE_TEXT), LATE_TEXT)
)


class BoundedProtocol(H11Protocol):
    """One connection. `connections` holds it as long as it is open, and knows while it waits for a request."""

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

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._open.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came; a head that is complete ends the waiting."""
        self._begun = True
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._open.end_waiting(self)

    def on_response_complete(self) -> None:
        """The next request is waited for, unless it is there already."""
        self._begun = False
        self._open.begin_waiting(self, monotonic())
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._open.end_waiting(self)

    def end_late(self) -> None:
        """Close it because its request did not come; who has begun one is told."""
        if self._begun and not self.transport.is_closing():
            self.transport.write(LATE)
        self.transport.close()

    def close_at_once(self) -> None:
        """Close it for another."""
        self.transport.abort()
