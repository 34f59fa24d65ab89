"""Accepting connections one by one, so that there is never one more than the limits allow."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from broadcast.api.connections.http_connection import HEAD_SECONDS, BoundedProtocol
from broadcast.api.connections.open_connections import OpenConnections
from broadcast.clock import monotonic

HANDSHAKE_SECONDS = 5.0
"""For a TLS handshake, all of it."""

HANDSHAKES_MAX = 32
"""TLS handshakes at once; one more ends the oldest of them."""

UNREAD_MILLISECONDS = 30_000
"""An answer that is not taken for so long ends the connection (TCP_USER_TIMEOUT)."""

PAUSE_SECONDS = 0.05
"""After an error of accept that passes: no descriptor is left, or the client has gone."""

SWEEP_SECONDS = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def accept_connections(
    listener: socket.socket,
    connections: OpenConnections,
    make_protocol: Callable[[], BoundedProtocol],
    context: ssl.SSLContext | None,
) -> AsyncIterator[None]:
    """Accept connections while the context is open; those that are open then stay."""
    listener.setblocking(False)
    tasks = [
        asyncio.create_task(_accept(listener, connections, make_protocol, context), name="accept"),
        asyncio.create_task(_close_late(connections), name="close late connections"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _accept(
    listener: socket.socket,
    connections: OpenConnections,
    make_protocol: Callable[[], BoundedProtocol],
    context: ssl.SSLContext | None,
) -> None:
    loop = asyncio.get_running_loop()
    handshakes: dict[asyncio.Task[None], None] = {}
    while True:
        try:
            accepted, peer = await loop.sock_accept(listener)
        except OSError as error:
            log.warning("connection_not_accepted", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        address = peer[0] if isinstance(peer, tuple) else ""
        if not connections.make_room(address):
            # Whoever comes next may find room: an answer would have to wait for the request.
            accepted.close()
            continue
        _set_options(accepted)
        opening = asyncio.create_task(_open(accepted, address, connections, make_protocol, context))
        if context is None:
            await opening
            continue
        if len(handshakes) >= HANDSHAKES_MAX:
            next(iter(handshakes)).cancel()
        handshakes[opening] = None
        opening.add_done_callback(lambda task: handshakes.pop(task, None))


async def _open(
    accepted: socket.socket,
    address: str,
    connections: OpenConnections,
    make_protocol: Callable[[], BoundedProtocol],
    context: ssl.SSLContext | None,
) -> None:
    protocol = make_protocol()
    try:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol,
            accepted,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
        )
    except (OSError, TimeoutError):  # ssl.SSLError is an OSError: no TLS, or no handshake in time
        accepted.close()
        return
    connections.add(protocol, address, monotonic())


async def _close_late(connections: OpenConnections) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for connection in connections.waiting_since(monotonic() - HEAD_SECONDS):
            connections.remove(connection)
            if isinstance(connection, BoundedProtocol):
                connection.end_late()


def _set_options(accepted: socket.socket) -> None:
    accepted.setblocking(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
