"""What the simulator does by the clock: changes of behaviour, and the events of the profile."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from broadcast.smpp.codec.pdu import ENQUIRE_LINK, OUTBIND
from broadcast.smsc.profile.tables import Event
from broadcast.smsc.simulator import Simulator
from broadcast.smsc.state import SmscState

_CONNECT_SECONDS: Final = 5.0
_OUTBIND_BODY: Final = b"tocsin-smsc\0\0"


class Leaving(Protocol):
    """What can stop listening for some time."""

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long, and close all links."""


class Timetable:
    """Calls the simulator at the moments that the profile names; `on_change` follows each change of behaviour."""

    def __init__(self, simulator: Simulator, ports: Leaving, on_change: Callable[[], None]) -> None:
        self._simulator: Final = simulator
        self._state: Final[SmscState] = simulator.state
        self._ports: Final = ports
        self._on_change: Final = on_change
        self._timers: Final[set[asyncio.TimerHandle]] = set()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._state.on_begin = self.start

    def start(self) -> None:
        """Begin, unless the time of the profile waits for the first submit, which then calls this."""
        if self._state.began_at is None:
            return
        self._plan_change()
        for event in self._simulator.profile.events:
            self._plan(event, event.at_seconds)

    def stop(self) -> None:
        """Do nothing more."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _call_at(self, seconds: float, callback: Callable[[], None]) -> None:
        def call() -> None:
            self._timers.discard(timer)
            callback()

        delay = max(0.0, seconds - self._state.elapsed)
        timer = asyncio.get_running_loop().call_later(delay, call)
        self._timers.add(timer)

    def _plan_change(self) -> None:
        moment = self._simulator.next_change()
        if moment is not None:
            # A little later, so that the moment has come by any rounding of the clock.
            self._call_at(moment + 0.001, self._change)

    def _change(self) -> None:
        self._simulator.update_behaviours()
        self._on_change()
        self._plan_change()

    def _plan(self, event: Event, moment: float) -> None:
        if event.until_seconds is None or moment < event.until_seconds:
            self._call_at(moment, lambda: self._do(event, moment))

    def _do(self, event: Event, moment: float) -> None:
        if event.every_seconds is not None:
            self._plan(event, moment + event.every_seconds)
        links = self._simulator.links_of(event.accounts)
        match event.do:
            case "unbind":
                for link in links:
                    link.unbind()
            case "close":
                self._state.metrics.connections_cut += len(links)
                for link in links:
                    link.close()
            case "away":
                self._ports.go_away(event.seconds)
            case "enquire_link":
                for link in links:
                    link.send_request(ENQUIRE_LINK)
            case "outbind":
                if event.port is None:
                    for link in links:
                        link.send_request(OUTBIND, _OUTBIND_BODY)
                else:
                    task = asyncio.get_running_loop().create_task(self._connect(event.host, event.port))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _connect(self, host: str, port: int) -> None:
        """Connect to the client and ask it to bind on this connection (outbind, 4.1.7)."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, link = await asyncio.get_running_loop().create_connection(self._simulator.make_link, host, port)
        except (OSError, TimeoutError):
            return
        link.send_request(OUTBIND, _OUTBIND_BODY)
