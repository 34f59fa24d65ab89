"""An SMSC on a real TCP port that answers only what its test tells it to: for answers that no simulator should give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcast.smpp.codec.pdu import BINDS, RESPONSE, SUBMIT_SM_RESP, Pdu, encode_pdu
from broadcast.smpp.codec.reader import Reader
from tests.support.waiting import eventually


class ScriptedSmsc:
    """Accepts each bind with `bind_body`; keeps all other PDUs in `received`."""

    def __init__(self, bind_status: int = 0, bind_body: bytes = b"scripted\0", before_bind_resp: bytes = b"") -> None:
        self.port = 0
        self.received: list[Pdu] = []
        self.binds: list[Pdu] = []
        self.connections = 0
        self.closed = 0
        self._bind_status = bind_status
        self._bind_body = bind_body
        self._before_bind_resp = before_bind_resp
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
        self._writers.append(writer)
        frames = Reader()
        while data := await _read(reader):
            # Submits are among `others`: this reader takes apart only what comes from an SMSC.
            for pdu in frames.feed(data).others:
                if pdu.command in BINDS:
                    self.binds.append(pdu)
                    answer = encode_pdu(pdu.command | RESPONSE, self._bind_status, pdu.sequence, self._bind_body)
                    writer.write(self._before_bind_resp + answer)
                else:
                    self.received.append(pdu)
        self.closed += 1
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@asynccontextmanager
async def scripted_smsc(
    bind_status: int = 0, bind_body: bytes = b"scripted\0", before_bind_resp: bytes = b""
) -> AsyncIterator[ScriptedSmsc]:
    """A scripted SMSC on a free port."""
    smsc = ScriptedSmsc(bind_status, bind_body, before_bind_resp)
    server = await asyncio.start_server(smsc.serve, "127.0.0.1", 0)
    smsc.port = server.sockets[0].getsockname()[1]
    try:
        yield smsc
    finally:
        server.close()
        smsc.disconnect()
