"""The API as a process: served while a context is open, or until a stop."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

import structlog
import uvicorn

from broadcast.api.app import make_app
from broadcast.api.connections import (
    HEAD_BYTES_MAX,
    BoundedProtocol,
    OpenConnections,
    accept_connections,
    choose_limits,
)
from broadcast.api.register import follow
from broadcast.api.services import Services
from broadcast.duties import run_duties
from broadcast.errors import SettingsError
from broadcast.health import Health
from broadcast.network.tls import reason_of
from broadcast.settings import Settings

STOP_SECONDS = 6
"""Requests that are under way at a stop have this long: one more than Kafka's budget for a write."""

BACKLOG = 1024

SWITCH_SECONDS = 0.001

RESTART_SECONDS = 1.0

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn over connections that this API accepts itself: uvicorn has no end to waiting for a request."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, connections: OpenConnections) -> None:
        super().__init__(config)
        self.opened = asyncio.Event()
        self.servers = []
        self._listener = listener
        self._connections = connections
        self._accepting = AsyncExitStack()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Take requests, and say so."""
        await self.lifespan.startup()
        await self._accepting.enter_async_context(
            accept_connections(self._listener, self._connections, self._make_protocol, self.config.ssl)
        )
        self.started = True
        self.opened.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, and end what is under way."""
        await self._accepting.aclose()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process decides what a signal means."""
        yield

    def _make_protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, self._connections)


@asynccontextmanager
async def serve(settings: Settings, health: Health) -> AsyncIterator[str]:
    """Serve the API while the context is open; gives its URL (`api_port` 0: a free port).

    It answers at once; `/readyz` says what it still waits for: Kafka, the keys, the alerts published lately.
    """
    certificate, key = _tls(settings)
    limits = choose_limits(settings.api_connections, settings.api_connections_per_address)
    listener = _listen(settings)
    services = await Services.create(settings, health)
    app = make_app(services, limits=limits)
    # Making it takes long: before the first request, not in it.
    app.openapi()
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        loop="none",
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )
    server = _Server(config, listener, OpenConnections(limits))
    leaving = asyncio.Event()
    work = {
        "publisher": services.publisher.keep,
        "keys": services.keep_keys,
        "register": lambda: follow(services.register, settings, health),
    }
    duties = {name: partial(_keep, name, one) for name, one in work.items()}
    working = asyncio.create_task(run_duties(leaving, duties), name="background work")
    serving = asyncio.create_task(server.serve(), name="http")
    try:
        await server.opened.wait()
        health.release("start")
        host, port = listener.getsockname()[:2]
        url = f"{'https' if settings.api_tls_cert_file else 'http'}://{host}:{port}"
        log.info("api_opened", url=url)
        yield url
    finally:
        server.should_exit = True
        await serving
        leaving.set()
        await working
        await services.close()
        listener.close()


async def run(settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    # Reading a large alert of another client of Kafka keeps the interpreter for so long at a time, in a thread.
    sys.setswitchinterval(SWITCH_SECONDS)
    async with serve(settings, health):
        await stop.wait()


async def _keep(name: str, work: Callable[[], Awaitable[None]], *, pause_seconds: float = RESTART_SECONDS) -> None:
    """Background work without which requests fail: whatever ends it is logged, and it begins again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background_work_failed", work=name)
        await asyncio.sleep(pause_seconds)


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.api_host, settings.api_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named, asyncio switches Nagle's algorithm off: without it an answer takes 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise SettingsError(
            f"BROADCAST_API_HOST:PORT = {settings.api_host}:{settings.api_port}: {error.strerror};"
            " choose a free port (0 takes any)"
        ) from None


def _tls(settings: Settings) -> tuple[str | None, str | None]:
    if settings.api_tls_cert_file is None and settings.api_tls_key_file is None:
        return None, None
    if settings.api_tls_cert_file is None or settings.api_tls_key_file is None:
        raise SettingsError("BROADCAST_API_TLS_CERT_FILE and BROADCAST_API_TLS_KEY_FILE go together; set both, or none")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.api_tls_cert_file, settings.api_tls_key_file
        )
    except OSError as error:
        raise SettingsError(
            f"BROADCAST_API_TLS_CERT_FILE = {settings.api_tls_cert_file}, BROADCAST_API_TLS_KEY_FILE ="
            f" {settings.api_tls_key_file}: {reason_of(error)}; name the PEM files of a certificate and its key"
        ) from None
    return str(settings.api_tls_cert_file), str(settings.api_tls_key_file)
