"""`/healthz`, `/readyz` and `/metrics` of one process, for supervisors and Prometheus.

HTTP/1.1 by hand: three GET paths without a body need no framework, and every stage pays for what it imports (aiohttp:
0.4 s and 30 MB; this: nothing). No signal is touched. `broadcast.api` serves the same three paths itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

from broadcast import metrics
from broadcast.clock import monotonic
from broadcast.errors import SettingsError
from broadcast.health import Health

REQUEST_TIMEOUT_SECONDS = 5.0
"""A client that has not finished its request by then is cut off: probes are quick, and sockets are not free."""

CLOSE_SECONDS = 1.0
"""For open connections to end at a stop."""

REQUEST_BYTES_MAX = 16_384

CONNECTIONS_MAX = 64
"""One more closes the oldest: who asks nothing must not use up the file descriptors of a stage."""

METRICS_SECONDS = 1.0
"""So long the same metrics are given: writing them is the most that anybody without a key can ask for."""

Answer = tuple[HTTPStatus, str, bytes]


def answer_probe(health: Health, path: str) -> Answer | None:
    """Status, content type and body for one of the three paths; None for any other.

    `/healthz` is 200 whenever the event loop gets to it: who waits for a server is not ended, a loop that is blocked
    does not answer. `/readyz` is 503 while something holds the process, or records are left and nothing is committed.
    """
    match path:
        case "/healthz":
            return _report(health, good=True)
        case "/readyz":
            return _report(health, good=health.ready())
        case "/metrics":
            health.show()
            return HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.render()
        case _:
            return None


class Probes:
    """Answers the probes of one process; metrics are written at most once in `METRICS_SECONDS`, whoever asks."""

    def __init__(self, health: Health, *, clock: Callable[[], float] = monotonic) -> None:
        self._health: Final = health
        self._clock: Final = clock
        self._metrics: Answer | None = None
        self._until = float("-inf")

    def answer(self, path: str) -> Answer | None:
        """As `answer_probe`."""
        if path != "/metrics":
            return answer_probe(self._health, path)
        now = self._clock()
        if self._metrics is None or now >= self._until:
            self._metrics = answer_probe(self._health, path)
            self._until = now + METRICS_SECONDS
        return self._metrics


@asynccontextmanager
async def serve(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context is open; gives the port that was bound (port 0: a free one).

    SettingsError where the address cannot be used.
    """
    open_writers: dict[asyncio.StreamWriter, None] = {}
    probes = Probes(health)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(open_writers) >= CONNECTIONS_MAX:
            oldest = next(iter(open_writers))
            del open_writers[oldest]
            oldest.transport.abort()
        open_writers[writer] = None
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_reply(probes, head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            open_writers.pop(writer, None)
            writer.close()

    try:
        server = await asyncio.start_server(converse, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        raise SettingsError(
            f"BROADCAST_METRICS_HOST:PORT = {host}:{port}: {error.strerror}; choose a free port (0 takes any)"
        ) from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in tuple(open_writers):
            writer.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), CLOSE_SECONDS)


def _reply(probes: Probes, head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    answer: Answer = HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET\n"
    if method in (b"GET", b"HEAD"):
        answer = probes.answer(path) or (HTTPStatus.NOT_FOUND, "text/plain", b"/healthz /readyz /metrics\n")
    status, content_type, body = answer
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + (b"" if method == b"HEAD" else body)


def _report(health: Health, *, good: bool) -> Answer:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(health.report()).encode() + b"\n"
