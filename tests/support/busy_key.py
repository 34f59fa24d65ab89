"""A client with a valid key that wants all of the API, as a process: the dearest GETs on many connections at once.

`python -m tests.support.busy_key PORT TOKEN SECONDS PATH…` ends after so many seconds, or at SIGINT, and prints how
many answers of which status it read, as JSON.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import suppress

CONNECTIONS = 50
REQUESTS_MAX = 20_000
"""Of each connection, however fast the server is."""


async def _read_answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The status of one answer, read to its end, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await reader.readexactly(int(fields["content-length"]))
    return head.split(" ")[1], fields.get("connection") != "close"


async def _ask(port: int, token: str, path: str, counts: Counter[str]) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    asked = 0
    while asked < REQUESTS_MAX:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        try:
            stays = True
            while stays and asked < REQUESTS_MAX:
                asked += 1
                writer.write(request)
                status, stays = await _read_answer(reader)
                counts[status] += 1
        except (OSError, asyncio.IncompleteReadError):
            counts["lost"] += 1
        finally:
            writer.transport.abort()


async def _run(port: int, token: str, seconds: float, paths: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    work = [asyncio.create_task(_ask(port, token, paths[number % len(paths)], counts)) for number in range(CONNECTIONS)]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:]))))
