"""What a child process answers over HTTP on the loopback: a status, or the report of `/readyz`."""

import asyncio
import contextlib
import json
from typing import Any

from broadcast.embedded.ports import LOOPBACK
from broadcast.embedded.processes.child import Check

ANSWER_SECONDS = 2.0
UNANSWERED: tuple[type[Exception], ...] = (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError)


def answers_ok(port: int, path: str) -> Check:
    """A check: does `GET path` on a port of the loopback answer 200?"""

    async def check() -> bool:
        try:
            return (await _get(port, path))[0] == 200
        except UNANSWERED:
            return False

    return check


def has_started(port: int) -> Check:
    """A check: has a stage started? It may miss what is outside of this system, such as an SMSC."""

    async def check() -> bool:
        report = await read_report(port)
        return report is not None and report.get("started") is True and report.get("moving") is True

    return check


async def read_report(port: int) -> dict[str, Any] | None:
    """The body of a stage's `/readyz`, ready or not; None when it does not answer."""
    try:
        report = json.loads((await _get(port, "/readyz"))[1])
    except UNANSWERED:
        return None
    return report if isinstance(report, dict) else None


async def _get(port: int, path: str) -> tuple[int, bytes]:
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            words = head.split(b" ", 2)
            return (int(words[1]) if len(words) > 1 else 0), body
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
