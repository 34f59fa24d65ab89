"""Is a server there? The smallest question that a stage, the API or the simulator answers."""

import asyncio
import contextlib

from broadcast.embedded.ports import LOOPBACK
from broadcast.embedded.processes.child import Check

ANSWER_SECONDS = 2.0


def answers_ok(port: int, path: str) -> Check:
    """A check: does `GET path` on a port of the loopback answer 200?"""

    async def check() -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _get_status(port, path) == 200
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            return False

    return check


async def _get_status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
        status_line = await reader.readline()
        return int(status_line.split(b" ")[1]) if status_line.count(b" ") >= 2 else 0
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
