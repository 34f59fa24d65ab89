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

EACH_TURN = 8
"""Connections accepted or closed in one turn of the event loop: a burst lets requests through."""

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
    handshakes: dict[BoundedProtocol, None] = {}
    openings: set[asyncio.Task[None]] = set()
    count = 0
    while True:
        count += 1
        if count % EACH_TURN == 0:
            # sock_accept does not let others run while one more is there; what is closed has to get to its end.
            await asyncio.sleep(0)
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
        protocol = make_protocol()
        connections.add(protocol, address, monotonic())
        if context is not None:
            if len(handshakes) >= HANDSHAKES_MAX:
                oldest = next(iter(handshakes))
                del handshakes[oldest]
                connections.remove(oldest)
                oldest.close_at_once()
            handshakes[protocol] = None
        opening = asyncio.create_task(_open(accepted, protocol, context))
        protocol.open_by(opening)
        openings.add(opening)

        def end(
            task: asyncio.Task[None], protocol: BoundedProtocol = protocol, accepted: socket.socket = accepted
        ) -> None:
            openings.discard(task)
            handshakes.pop(protocol, None)
            if task.cancelled() or task.exception() is not None:
                connections.remove(protocol)
                accepted.close()

        opening.add_done_callback(end)


async def _open(accepted: socket.socket, protocol: BoundedProtocol, context: ssl.SSLContext | None) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(
        lambda: protocol,
        accepted,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
    )


async def _close_late(connections: OpenConnections) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for number, connection in enumerate(connections.waiting_since(monotonic() - HEAD_SECONDS), 1):
            if connections.has_waited_since(connection, monotonic() - HEAD_SECONDS):
                connections.remove(connection)
                if isinstance(connection, BoundedProtocol):
                    connection.end_late()
            if number % EACH_TURN == 0:
                await asyncio.sleep(0)


def _set_options(accepted: socket.socket) -> None:
    accepted.setblocking(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
