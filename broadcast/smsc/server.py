"""The simulator on its ports: SMPP and HTTP."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.http_api import HttpApi
from broadcast.smsc.profile.tables import Profile
from broadcast.smsc.simulator import Simulator
from broadcast.smsc.timetable import Timetable

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
    # Clients must show a certificate that one of these authorities has signed.
    tls_client_ca: Path | None = None
    profile: Profile = field(default_factory=Profile)


class SmppPort:
    """One SMPP port of the simulator, which can be closed for some time; `number` is the real port."""

    def __init__(self, simulator: Simulator, name: str, host: str, number: int, tls: ssl.SSLContext | None) -> None:
        self.name: Final = name
        self.number = number
        self._simulator: Final = simulator
        self._host: Final = host
        self._tls: Final = tls
        self._server: asyncio.Server | None = None
        self._returning: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen, unless the profile refuses connections. OSError when the port is taken."""
        await self._listen()
        if self._simulator.refuses_connections(self.name):
            self._close_server()

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                partial(self._simulator.make_link, self.name), self._host, self.number, ssl=self._tls, backlog=512
            )
            self.number = self._server.sockets[0].getsockname()[1]

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long; counts and receipts are kept."""
        self._close_server()
        self._return_in(seconds)

    def follow_profile(self) -> None:
        """Listen or not, as the profile says for this moment."""
        if self._simulator.refuses_connections(self.name):
            self._close_server()
        elif self._server is None and (self._returning is None or self._returning.done()):
            self._return_in(0.0)

    def _return_in(self, seconds: float) -> None:
        if self._returning is not None:
            self._returning.cancel()
        self._returning = asyncio.create_task(self._return_after(seconds))

    async def _return_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.open()

    def close(self) -> None:
        """Refuse connections for good."""
        if self._returning is not None:
            self._returning.cancel()
        self._close_server()

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class SmppPorts:
    """All SMPP ports: that of the process, and those of the profile's accounts, by `listener`."""

    def __init__(self, simulator: Simulator, ports: Sequence[SmppPort]) -> None:
        self._simulator: Final = simulator
        self._ports: Final = {port.name: port for port in ports}

    @classmethod
    async def open(cls, simulator: Simulator, config: SmscConfig, tls: ssl.SSLContext | None) -> "SmppPorts":
        """Listen on all ports. OSError when one is taken."""
        wanted = {"": config.port}
        accounts = config.profile.accounts
        if accounts and all(account.port is not None for account in accounts) and not config.port:
            wanted = {}
        wanted |= {account.listener: account.port for account in accounts if account.port is not None}
        ports = [SmppPort(simulator, name, config.host, number, tls) for name, number in wanted.items()]
        opened = cls(simulator, ports)
        try:
            for port in ports:
                await port.open()
        except OSError:
            opened.close()
            raise
        return opened

    @property
    def number(self) -> int:
        """The port of the process; without one the first of an account."""
        return next(iter(self._ports.values())).number

    def number_of(self, listener: str) -> int:
        """The real port of the accounts with this `listener`."""
        return self._ports[listener].number

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long, and close all links, as after a crash; counts and receipts are kept."""
        for port in self._ports.values():
            port.go_away(seconds)
        self._simulator.close_links()

    def follow_profile(self) -> None:
        """Listen or not, as the profile says for this moment, and close the links of those that do not."""
        for port in self._ports.values():
            port.follow_profile()
        for account in self._simulator.refused_accounts():
            for link in self._simulator.links_of((account,)):
                link.close()

    def close(self) -> None:
        """Refuse connections for good, and close all links."""
        for port in self._ports.values():
            port.close()
        self._simulator.close_links()


class SmscServer:
    """A simulator that listens, made by `start`; `port`, `ports` (by account) and `stats_port` are the real ports."""

    def __init__(self, simulator: Simulator, smpp: SmppPorts, stats: asyncio.Server, timetable: Timetable) -> None:
        self.simulator: Final = simulator
        self.port = smpp.number
        self.ports: Final = {account.name: smpp.number_of(account.listener) for account in simulator.profile.accounts}
        self.stats_port = stats.sockets[0].getsockname()[1]
        self._smpp: Final = smpp
        self._stats: Final = stats
        self._timetable: Final = timetable

    @classmethod
    async def start(cls, config: SmscConfig, behaviour: Behaviour) -> "SmscServer":
        """Listen on all ports. OSError when a port is taken or the certificate cannot be read."""
        behaviour.check()
        simulator = Simulator(
            behaviour,
            now=asyncio.get_running_loop().time,
            seed=config.seed,
            system_id=config.system_id,
            password=config.password,
            first_number=config.first_number or int(time.time()) * NUMBERS_PER_SECOND,
            profile=config.profile,
        )
        tls = None
        if config.tls_certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(config.tls_certificate, config.tls_key)
            if config.tls_client_ca is not None:
                tls.load_verify_locations(config.tls_client_ca)
                tls.verify_mode = ssl.CERT_REQUIRED
        smpp = await SmppPorts.open(simulator, config, tls)
        try:
            api = HttpApi(simulator, smpp.go_away, smpp.follow_profile)
            stats = await asyncio.start_server(api.serve, config.host, config.stats_port)
        except OSError:
            smpp.close()
            raise
        timetable = Timetable(simulator, smpp, smpp.follow_profile)
        timetable.start()
        return cls(simulator, smpp, stats, timetable)

    async def stop(self) -> None:
        """Close all ports and all links."""
        self._timetable.stop()
        self._smpp.close()
        self._stats.close()
        # One turn of the loop, so that each connection sees its end.
        await asyncio.sleep(0)
