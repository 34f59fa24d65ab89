"""A TCP relay in front of the simulator: cutting it is what an SMSC that goes away looks like to a sender.

The simulator behind it keeps its counts, so that what it saw can still be told.
"""

import asyncio
import contextlib
from typing import Self

from broadcast.embedded.ports import LOOPBACK, find_free_port

CHUNK = 65_536


class Relay:
    """`async with Relay() as relay`: connections to `relay.port` are carried on to the port that is its `target`."""

    def __init__(self) -> None:
        self.port = find_free_port()
        self.target = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restore(self) -> None:
        """Carry connections, from now on."""
        self._server = await asyncio.start_server(self._carry, LOOPBACK, self.port)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
            self._open.add(far_writer)
            try:
                await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
            finally:
                self._open.discard(far_writer)
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
