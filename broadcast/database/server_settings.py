"""What every connection of ours tells PostgreSQL: who it is, and how long it may hold others up."""

import asyncio
import socket
from typing import Final

import asyncpg

LOCK_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait of one statement for a lock. Who holds it is looked up meanwhile, and the work is tried again."""

IDLE_IN_TRANSACTION_SECONDS: Final = 10.0
"""The server ends a session that has done nothing within a transaction for so long, and so frees its locks.

Nothing of ours works for longer between two statements of one transaction.
"""

KEEPALIVE_IDLE_SECONDS: Final = 10
KEEPALIVE_INTERVAL_SECONDS: Final = 5
KEEPALIVE_COUNT: Final = 3
"""A host that is gone is noticed by both ends after idle + interval x count: 25 s."""

UNACKNOWLEDGED_SECONDS: Final = 20
"""What was sent and not acknowledged for so long ends the connection, at both ends."""

CLIENT_CHECK_SECONDS: Final = 10
"""How often the server looks, during a long statement, whether the client is still connected."""

NAME_BYTES_MAX: Final = 63
"""PostgreSQL cuts an application_name after it."""

OURS: Final = "tocsin"
"""First word of every application_name of ours."""


def application_name(stage: str, slot: str) -> str:
    """The name under which a session stands in pg_stat_activity: `tocsin <stage> <slot>`."""
    return f"{OURS} {stage} {slot}".rstrip().encode("ascii", "replace")[:NAME_BYTES_MAX].decode()


def server_settings(name: str) -> dict[str, str]:
    """The settings of a session with this application_name; times as PostgreSQL reads them."""
    return {
        "application_name": name,
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS * 1000:.0f}ms",
        "tcp_keepalives_idle": str(KEEPALIVE_IDLE_SECONDS),
        "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_SECONDS),
        "tcp_keepalives_count": str(KEEPALIVE_COUNT),
        "tcp_user_timeout": str(UNACKNOWLEDGED_SECONDS * 1000),
        "client_connection_check_interval": f"{CLIENT_CHECK_SECONDS}s",
    }


async def keep_alive(connection: asyncpg.Connection) -> None:
    """Have this end of a TCP connection notice a server whose host is gone. A coroutine for asyncpg's `init`."""
    # asyncpg offers no other way to its socket.
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    found = transport.get_extra_info("socket")
    if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_SECONDS * 1000),
    ):
        # Not every system has all of them.
        if (option := getattr(socket, name, None)) is not None:
            found.setsockopt(socket.IPPROTO_TCP, option, value)
