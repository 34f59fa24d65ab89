"""An SMSC on a real TCP port that answers only what its test tells it to: for answers that no simulator should give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict, Unpack

from broadcast.smpp.codec.pdu import BINDS, RESPONSE, SUBMIT_SM_RESP, Pdu, encode_pdu
from broadcast.smpp.codec.reader import Reader
from tests.support.waiting import eventually


@dataclass
class BindScript:
    """How binds are answered: a status and a body, with bytes before and after, all in pieces of so many bytes."""

    bind_status: int = 0
    bind_body: bytes = b"scripted\0"
    before_bind_resp: bytes = b""
    after_bind_resp: bytes = b""
    bytes_per_write: int = 0
    answer_binds: bool = True

    def answer(self, bind: Pdu) -> list[bytes]:
        """What to write after a bind, piece by piece."""
        if not self.answer_binds:
            return []
        response = encode_pdu(bind.command | RESPONSE, self.bind_status, bind.sequence, self.bind_body)
        data = self.before_bind_resp + response + self.after_bind_resp
        size = self.bytes_per_write or len(data)
        return [data[start : start + size] for start in range(0, len(data), size)]


class ScriptedSmsc:
    """Answers each bind by `script`; keeps all other PDUs in `received`."""

    def __init__(self, script: BindScript) -> None:
        self.port = 0
        self.received: list[Pdu] = []
        self.binds: list[Pdu] = []
        self.connections = 0
        self.open_now = self.highest_open = 0
        self._script = script
        self._writers: list[asyncio.StreamWriter] = []

    async def until_received(self, count: int) -> list[Pdu]:
        """Wait until so many PDUs came that are no binds."""
        await eventually(lambda: len(self.received) >= count)
        return self.received

    def of(self, command: int) -> list[Pdu]:
        """The received PDUs of one command."""
        return [pdu for pdu in self.received if pdu.command == command]

    def send(self, *pdus: Pdu) -> None:
        """Write PDUs to the newest connection, in one piece."""
        self._writers[-1].write(b"".join(encode_pdu(*pdu) for pdu in pdus))

    def accept(self, *sequences: int) -> None:
        """Accept the submits with these sequence numbers, in this order."""
        self.send(*(Pdu(SUBMIT_SM_RESP, 0, each, b"id%d\0" % each) for each in sequences))

    def disconnect(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one connection until it ends."""
        self.connections += 1
        self.open_now += 1
        self.highest_open = max(self.highest_open, self.open_now)
        self._writers.append(writer)
        frames = Reader()
        while data := await _read(reader):
            # Submits are among `others`: this reader takes apart only what comes from an SMSC.
            for pdu in frames.feed(data).others:
                if pdu.command in BINDS:
                    self.binds.append(pdu)
                    for piece in self._script.answer(pdu):
                        writer.write(piece)
                        # A turn of the loop for each, so that each is a segment of its own.
                        await asyncio.sleep(0.001)
                else:
                    self.received.append(pdu)
        self.open_now -= 1
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


class BindScriptFields(TypedDict, total=False):
    """The fields of a BindScript."""

    bind_status: int
    bind_body: bytes
    before_bind_resp: bytes
    after_bind_resp: bytes
    bytes_per_write: int
    answer_binds: bool


@asynccontextmanager
async def scripted_smsc(**script: Unpack[BindScriptFields]) -> AsyncIterator[ScriptedSmsc]:
    """A scripted SMSC on a free port."""
    smsc = ScriptedSmsc(BindScript(**script))
    server = await asyncio.start_server(smsc.serve, "127.0.0.1", 0)
    smsc.port = server.sockets[0].getsockname()[1]
    try:
        yield smsc
    finally:
        server.close()
        smsc.disconnect()
