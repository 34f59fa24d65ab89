"""The simulator on its two ports."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.http_api import Endpoint
from broadcast.smsc.link import Link
from broadcast.smsc.simulator import Simulator

# More than a simulator can give out: so a restart never gives out an id again.
NUMBERS_PER_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SmscConfig:
    """Where it listens (port 0: a free one), whom it admits, how it begins."""

    host: str = "127.0.0.1"
    port: int = 0
    stats_port: int = 0
    seed: int = 0
    system_id: str | None = None
    password: str | None = None
    # Message numbers begin here; by default at a number that no earlier run on this machine has reached.
    first_number: int | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None


class SmscServer:
    """Listens on construction by `start`; `port` and `stats_port` are the real ones."""

    def __init__(self, simulator: Simulator, config: SmscConfig, tls: ssl.SSLContext | None) -> None:
        self.simulator: Final = simulator
        self.port = config.port
        self.stats_port = config.stats_port
        self._host: Final = config.host
        self._tls: Final = tls
        self._smpp: asyncio.Server | None = None
        self._stats: asyncio.Server | None = None
        self._returning: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, config: SmscConfig, behaviour: Behaviour) -> "SmscServer":
        """Listen. OSError when a port is taken or the certificate cannot be read."""
        behaviour.check()
        simulator = Simulator(
            behaviour,
            seed=config.seed,
            system_id=config.system_id,
            password=config.password,
            first_number=config.first_number or int(time.time()) * NUMBERS_PER_SECOND,
        )
        tls = None
        if config.tls_certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(config.tls_certificate, config.tls_key)
        server = cls(simulator, config, tls)
        await server.listen()
        endpoint = Endpoint(simulator, server.leave)
        try:
            server._stats = await asyncio.start_server(endpoint.serve, config.host, config.stats_port)
        except OSError:
            await server.stop()
            raise
        server.stats_port = server._stats.sockets[0].getsockname()[1]
        return server

    async def listen(self) -> None:
        """Take connections (again). OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._smpp = await loop.create_server(
            lambda: Link(self.simulator), self._host, self.port, ssl=self._tls, backlog=512
        )
        self.port = self._smpp.sockets[0].getsockname()[1]

    def leave(self, seconds: float) -> None:
        """Be away as after a crash or a cut, for so long: no listener, no link. What is owed and counted is kept."""
        if self._smpp is not None:
            self._smpp.close()
            self._smpp = None
        for link in tuple(self.simulator.links):
            link.close()
        if self._returning is not None:
            self._returning.cancel()
        self._returning = asyncio.create_task(self._return_after(seconds))

    async def _return_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()

    async def stop(self) -> None:
        """Close both ports and drop all links."""
        if self._returning is not None:
            self._returning.cancel()
        for server in (self._smpp, self._stats):
            if server is not None:
                server.close()
        for link in tuple(self.simulator.links):
            link.close()
        # One turn of the loop for each connection to hear of it.
        await asyncio.sleep(0)
