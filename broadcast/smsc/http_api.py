"""The HTTP interface of the simulator: statistics and behaviour. One request per connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from broadcast.smsc.behaviour import Behaviour, BehaviourError
from broadcast.smsc.simulator import PhoneMessage, Simulator

_REQUEST_SECONDS: Final = 5.0
_BODY_CAP: Final = 65_536
_NUMBERS_AT_ONCE: Final = 5_000
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found"}


_PATHS: Final = (
    "GET /stats, /behaviour, /destinations?min=2, /numbers; POST /behaviour?account=, /reset, /close, /unbind, "
    '/away?seconds=, /messages (a JSON list of {"source", "destination", "text"}: what phones send, to any bind '
    "that receives)"
)


class HttpApi:
    """Answers the requests that `_PATHS` lists.

    `go_away` closes the SMPP ports for so many seconds; `on_change` follows each change of behaviour.
    """

    def __init__(self, simulator: Simulator, go_away: Callable[[float], None], on_change: Callable[[], None]) -> None:
        self._simulator: Final = simulator
        self._go_away: Final = go_away
        self._on_change: Final = on_change

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                method, target, body = await _read_request(reader)
            if (method, urlsplit(target).path) == ("GET", "/numbers"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
                async for piece in self._numbers():
                    writer.write(piece)
                    await writer.drain()
            else:
                status, answer = self.answer(method, target, body)
                content = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
                    + content
                )
            await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass  # a request that is not complete gets no answer
        finally:
            writer.close()

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, object]:
        """Status and JSON value of the answer."""
        url = urlsplit(target)
        simulator = self._simulator
        try:
            match method, url.path:
                case "GET", "/stats":
                    return 200, simulator.describe()
                case "GET", "/behaviour":
                    return 200, _describe(simulator.state.behaviour)
                case "GET", "/destinations":
                    minimum = int(parse_qs(url.query).get("min", ["2"])[0])
                    found = simulator.state.submit_counts.repeated(minimum)
                    return 200, {str(destination): count for destination, count in found.items()}
                case "POST", "/behaviour":
                    changes = json.loads(body or b"{}")
                    if not isinstance(changes, dict):
                        raise BehaviourError("behaviour: send a JSON object of the fields to change")
                    account = parse_qs(url.query).get("account")
                    if account is not None:
                        behaviour = simulator.change_account(account[0], changes)
                    else:
                        behaviour = simulator.state.behaviour.change(changes)
                        simulator.change_behaviour(behaviour)
                    self._on_change()
                    return 200, _describe(behaviour)
                case "POST", "/reset":
                    simulator.reset()
                    return 200, {}
                case "POST", "/close":
                    return 200, {"closed": simulator.close_links()}
                case "POST", "/away":
                    seconds = float(parse_qs(url.query).get("seconds", ["10"])[0])
                    self._go_away(seconds)
                    return 200, {"seconds": seconds}
                case "POST", "/messages":
                    messages = msgspec.json.decode(body, type=list[PhoneMessage])
                    return 200, {"sent": simulator.send_phone_messages(messages), "of": len(messages)}
                case "POST", "/unbind":
                    return 200, {"unbound": simulator.unbind_links()}
        except (BehaviourError, ValueError, msgspec.MsgspecError) as error:
            return 400, {"error": str(error)}
        return 404, {"error": f"no {method} {url.path}; there are: {_PATHS}"}

    async def _numbers(self) -> AsyncIterator[bytes]:
        """Lines `number count`, in pieces, so that SMPP is served in between."""
        numbers = self._simulator.state.submit_counts.numbers()
        while piece := list(islice(numbers, _NUMBERS_AT_ONCE)):
            yield b"".join([b"%d %d\n" % pair for pair in piece])
            await asyncio.sleep(0)


def _describe(behaviour: Behaviour) -> dict[str, object]:
    return {name: getattr(behaviour, name) for name in behaviour.__struct_fields__}


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, target and body. ValueError when it is not HTTP."""
    method, target, _ = (await reader.readline()).decode("latin-1").split(" ", 2)
    length = 0
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if length > _BODY_CAP:
        raise ValueError(f"body of {length} octets exceeds {_BODY_CAP}")
    return method, target, await reader.readexactly(length)
