"""An SMPP client that does exactly what a test says, and keeps what comes: right, wrong, or nothing."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from broadcast.smpp.codec.bind import BindRequest, encode_bind
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    HEADER,
    HEADER_LENGTH,
    RESPONSE,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    Pdu,
    encode_pdu,
)
from broadcast.smsc.server import SmscServer

VALID: bytes = b"000001000000000R"
SECONDS = 5.0


class RawClient:
    """One connection; `pieces` are the buffers as they came, `pdus` what they hold. `sequence` counts requests.

    What is sent in one turn of the loop goes in one piece.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pieces: list[bytes] = []
        self.ended = asyncio.Event()
        self.sequence = 0
        self.acknowledges = True
        self._reader = reader
        self._writer = writer
        self._arrived = asyncio.Event()
        self._rest = b""
        self._unsent = bytearray()
        self.pdus: list[Pdu] = []
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> "RawClient":
        """Connect only."""
        name = None if tls is None else "localhost"
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))

    async def _read(self) -> None:
        try:
            while piece := await self._reader.read(65536):
                self.pieces.append(piece)
                self._rest += piece
                while len(self._rest) >= HEADER_LENGTH:
                    length, command, status, sequence = HEADER.unpack_from(self._rest)
                    if len(self._rest) < length:
                        break
                    self.pdus.append(Pdu(command, status, sequence, self._rest[HEADER_LENGTH:length]))
                    self._rest = self._rest[length:]
                    if command in {DELIVER_SM, 0x103} and self.acknowledges:
                        self.send(command | RESPONSE, b"\0", sequence=sequence)
                self._arrived.set()
        except (ConnectionError, ssl.SSLError):
            pass
        self.ended.set()
        self._arrived.set()

    @property
    def rest(self) -> bytes:
        """What came of a PDU that is not complete."""
        return self._rest

    @property
    def writes_waiting(self) -> int:
        """Octets that the other side does not take."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, command: int, body: bytes = b"", *, sequence: int | None = None, status: int = 0) -> int:
        """Send one PDU; returns its sequence number."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        self.send_bytes(encode_pdu(command, status, sequence, body))
        return sequence

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += data

    def _flush(self) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(bytes(self._unsent))
        self._unsent.clear()

    @property
    def responses(self) -> list[Pdu]:
        """The responses to submits."""
        return [pdu for pdu in self.pdus if pdu.command == SUBMIT_SM_RESP]

    def submit(self, number: str, *, sequence: int | None = None, **fields: Any) -> int:
        """Send one submit_sm that asks for a receipt and has a validity_period; returns its sequence number."""
        message: dict[str, Any] = {
            "source_ton": 5,
            "source": b"TOCSIN",
            "destination_ton": 1,
            "destination_npi": 1,
            "destination": number.encode(),
            "validity_period": VALID,
            "registered_delivery": 1,
            "short_message": b"Flood warning",
            **fields,
        }
        return self.send(SUBMIT_SM, encode_message(ShortMessage(**message)), sequence=sequence)

    async def bind(
        self, system_id: str = "client", password: str = "secret", *, command: int = BIND_TRANSCEIVER
    ) -> Pdu:
        """Bind, and return the response."""
        sequence = self.send(command, encode_bind(BindRequest(system_id.encode(), password.encode())))
        return await self.response(sequence)

    async def wait(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait until what came fulfils the condition."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._arrived.clear()
                if condition():
                    return
                await self._arrived.wait()
                if self.ended.is_set() and not condition():
                    raise AssertionError(f"the connection ended; {len(self.pdus)} PDUs came: {self.pdus[-5:]}")

    async def response(self, sequence: int, seconds: float = SECONDS) -> Pdu:
        """The first response or generic_nack with this sequence number."""

        def found() -> list[Pdu]:
            return [pdu for pdu in self.pdus if pdu.command & RESPONSE and pdu.sequence == sequence]

        await self.wait(lambda: bool(found()), seconds)
        return found()[0]

    async def deliveries(self, count: int, seconds: float = SECONDS) -> list[Pdu]:
        """The deliver_sm and data_sm that came, once there are so many."""

        def found() -> list[Pdu]:
            return [pdu for pdu in self.pdus if pdu.command in {DELIVER_SM, 0x103}]

        await self.wait(lambda: len(found()) >= count, seconds)
        return found()

    async def close(self) -> None:
        """End the connection."""
        self._writer.transport.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Started:
    """A simulator with a profile, and the raw connections that a test has made to it."""

    def __init__(self, smsc: SmscServer) -> None:
        self.smsc = smsc
        self.clients: list[RawClient] = []

    async def connect(self, account: str = "") -> RawClient:
        """A connection to the port of an account, or to the first port."""
        self.clients.append(await RawClient.connect(self.smsc.ports.get(account, self.smsc.port)))
        return self.clients[-1]

    async def bind(self, account: str = "client", *, command: int = BIND_TRANSCEIVER) -> RawClient:
        """A connection that is bound."""
        client = await self.connect(account)
        answer = await client.bind(account, command=command)
        assert answer.status == 0
        return client

    async def stop(self) -> None:
        """End everything."""
        for client in self.clients:
            await client.close()
        await self.smsc.stop()


class StartProfile(Protocol):
    """The fixture `play`: starts a simulator with the profile in a TOML text."""

    def __call__(self, toml: str) -> Awaitable[Started]: ...
