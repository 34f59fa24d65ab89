"""The simulator on its two ports: SMPP and HTTP."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.http_api import HttpApi
from broadcast.smsc.simulator import Simulator

# More than a simulator can give out, so that a restart never gives out an id again.
NUMBERS_PER_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SmscConfig:
    """Where the simulator listens (port 0: a free one), which binds it accepts, where its numbers begin."""

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


class SmppPort:
    """The SMPP port of the simulator, which can be closed for some time; `number` is the real port."""

    def __init__(self, simulator: Simulator, host: str, tls: ssl.SSLContext | None, server: asyncio.Server) -> None:
        self.number: Final[int] = server.sockets[0].getsockname()[1]
        self._simulator: Final = simulator
        self._host: Final = host
        self._tls: Final = tls
        self._server: asyncio.Server | None = server
        self._returning: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, simulator: Simulator, host: str, port: int, tls: ssl.SSLContext | None) -> "SmppPort":
        """Listen. OSError when the port is taken."""
        return cls(simulator, host, tls, await _listen(simulator, host, port, tls))

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long, and close all links, as after a crash; counts and receipts are kept."""
        self._close_server()
        self._simulator.close_links()
        if self._returning is not None:
            self._returning.cancel()
        self._returning = asyncio.create_task(self._return_after(seconds))

    async def _return_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._server = await _listen(self._simulator, self._host, self.number, self._tls)

    def close(self) -> None:
        """Refuse connections for good, and close all links."""
        if self._returning is not None:
            self._returning.cancel()
        self._close_server()
        self._simulator.close_links()

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


async def _listen(simulator: Simulator, host: str, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(simulator.make_link, host, port, ssl=tls, backlog=512)


class SmscServer:
    """A simulator that listens, made by `start`; `port` and `stats_port` are the real ports."""

    def __init__(self, simulator: Simulator, smpp: SmppPort, stats: asyncio.Server) -> None:
        self.simulator: Final = simulator
        self.port = smpp.number
        self.stats_port = stats.sockets[0].getsockname()[1]
        self._smpp: Final = smpp
        self._stats: Final = stats

    @classmethod
    async def start(cls, config: SmscConfig, behaviour: Behaviour) -> "SmscServer":
        """Listen on both ports. OSError when a port is taken or the certificate cannot be read."""
        behaviour.check()
        simulator = Simulator(
            behaviour,
            now=asyncio.get_running_loop().time,
            seed=config.seed,
            system_id=config.system_id,
            password=config.password,
            first_number=config.first_number or int(time.time()) * NUMBERS_PER_SECOND,
        )
        tls = None
        if config.tls_certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(config.tls_certificate, config.tls_key)
        smpp = await SmppPort.open(simulator, config.host, config.port, tls)
        try:
            stats = await asyncio.start_server(HttpApi(simulator, smpp.go_away).serve, config.host, config.stats_port)
        except OSError:
            smpp.close()
            raise
        return cls(simulator, smpp, stats)

    async def stop(self) -> None:
        """Close both ports and all links."""
        self._smpp.close()
        self._stats.close()
        # One turn of the loop, so that each connection sees its end.
        await asyncio.sleep(0)
