"""Clients that nobody wants, as a process: half-open connections, worst legal alerts, wrong keys, no keys. Bounded.

`python -m tests.support.hostile_clients PORT TOKEN SECONDS` ends after so many seconds, or at SIGINT, and prints how
often it did what, as JSON.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from uuid import uuid4

HALF_OPEN = 200
UPLOADS = 20
WRONG_KEYS = 10
PIPELINES = 20
PIPELINED = 60
BURST = 250
ROUND_SECONDS = 1.0
BURST_SECONDS = 15.0
"""Accepting so many costs a moment each time, which is not what the share of the event loop is about."""
WITHOUT_KEY = ("/healthz", "/metrics", "/v1/openapi.json", "/v1/alerts")
REQUESTS_MAX = 20_000
"""Of each kind, however fast the server is."""

INFO = (
    "<info><category>Met</category><event>Flood</event><urgency>Immediate</urgency><severity>Severe</severity>"
    "<certainty>Observed</certainty>{}</info>"
)


def _document(content: str, more: str = "") -> bytes:
    sent = time.strftime("%Y-%m-%dT%H:%M:%S-00:00", time.gmtime())
    return (
        f'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>{uuid4()}</identifier>'
        f"<sender>s@example.org</sender><sent>{sent}</sent><status>Test</status><msgType>Alert</msgType>"
        f"<scope>Public</scope><addresses>river</addresses>{more}{INFO.format(content)}</alert>"
    ).encode()


def _comb(count: int) -> str:
    teeth = [f"{50 * ((n + 1) // 2 % 2) + n / 10_000:.4f},{10 + 50 * ((n + 1) // 2 % 2)}" for n in range(count)]
    return f"<polygon>{' '.join([*teeth, '89,0', teeth[0]])}</polygon>"


def worst_documents() -> list[bytes]:
    """Legal alerts that cost most: sides that are all near each other, small polygons, many elements, references."""
    references = " ".join(f"s@example.org,i{n},2030-01-01T00:00:00-00:00" for n in range(1_000))
    geocodes = "<geocode><valueName>a</valueName><value>b</value></geocode>" * 6_000
    small = f"<area><areaDesc>a</areaDesc>{'<polygon>1,1 2,2 3,1 1,1</polygon>' * 1_000}</area>"
    return [
        _document(f"<area><areaDesc>a</areaDesc>{_comb(496) * 60}</area>"),
        _document(f"<area><areaDesc>a</areaDesc>{_comb(9_990)}{_comb(9_990)}</area>"),
        _document(small * 12),
        _document(f"<area><areaDesc>a</areaDesc>{geocodes}</area>"),
        _document("", f"<references>{references}</references>"),
    ]


async def _hold_open(port: int, counts: Counter[str]) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /v1/alerts HTTP/1.1\r\nHost: a\r\n")
            counts["half open"] += 1
            await reader.read()
            writer.close()
        except OSError:
            counts["half open refused"] += 1
        await asyncio.sleep(0.2)


async def _ask(port: int, token: str, body: bytes, counts: Counter[str], name: str) -> None:
    head = (
        f"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/cap+xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(REQUESTS_MAX):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + body)
            status = (await reader.readline()).split(b" ")
            counts[f"{name} {status[1].decode() if len(status) > 1 else 'closed'}"] += 1
            writer.close()
        except OSError:
            counts[f"{name} failed"] += 1
        await asyncio.sleep(0.01)


async def _pipeline(port: int, path: str, counts: Counter[str], *, read: bool) -> None:
    """Many requests without a key at once on one connection, again and again."""
    requests = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * PIPELINED
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(ROUND_SECONDS)
            continue
        writer.write(requests)
        counts["pipelines"] += 1
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(ROUND_SECONDS):
                while read and (answer := await reader.read(65_536)):
                    counts["pipelined answers"] += answer.count(b"HTTP/1.1 ")
                await asyncio.sleep(ROUND_SECONDS)
        writer.transport.abort()


async def _burst(port: int, counts: Counter[str]) -> None:
    """Many connections of another address with one request each, which are then all closed at once."""
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    while True:
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(BURST)),
            return_exceptions=True,
        )
        writers = [one[1] for one in opened if not isinstance(one, BaseException)]
        for writer in writers:
            writer.write(request)
        counts["burst"] += len(writers)
        await asyncio.sleep(BURST_SECONDS)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(BURST_SECONDS)


async def _run(port: int, token: str, seconds: float) -> Counter[str]:
    counts: Counter[str] = Counter()
    documents = worst_documents()
    work = [asyncio.create_task(_hold_open(port, counts)) for _ in range(HALF_OPEN)]
    work += [
        asyncio.create_task(_ask(port, token, documents[n % len(documents)], counts, "upload")) for n in range(UPLOADS)
    ]
    wrong = "tocsin_0000000000000000.wrong"
    work += [asyncio.create_task(_ask(port, wrong, b"<alert/>", counts, "wrong key")) for _ in range(WRONG_KEYS)]
    work += [
        asyncio.create_task(_pipeline(port, WITHOUT_KEY[n % len(WITHOUT_KEY)], counts, read=n < PIPELINES // 2))
        for n in range(PIPELINES)
    ]
    work.append(asyncio.create_task(_burst(port, counts)))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    return counts


if __name__ == "__main__":
    found = asyncio.run(_run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    print(json.dumps(found))
