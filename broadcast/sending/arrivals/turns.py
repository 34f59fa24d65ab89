"""How much of what SMSCs deliver is worked on before everything else of the process has its turn."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from broadcast.clock import monotonic
from broadcast.smpp.codec.message import Delivery, octets_of

TURN_SECONDS: Final = 0.01
"""A turn ends with the delivery that is worked on then, whatever it costs."""

RUN_DELIVERIES: Final = 100
RUN_OCTETS: Final = 32 * 1024
"""Deliveries that are encoded together; of more octets than this they are encoded singly."""

COSTLY_SECONDS: Final = 0.002
"""Work for one delivery, a hundred times what is usual: only something that this system does not know takes so long."""

COSTLY_TOTAL_SECONDS: Final = 0.25
"""Work for the deliveries of an account within a minute, below which nobody is told."""

MINUTE: Final = 60.0


class Turn:
    """The time since other tasks ran."""

    def __init__(self) -> None:
        self._began = monotonic()
        self.taken = 0
        """Deliveries that the last `take` gave."""

    def take(self, deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
        """The deliveries until the turn is over, at least the first."""
        self.taken = 0
        until = self._began + TURN_SECONDS
        for delivery in deliveries:
            yield delivery
            self.taken += 1
            if monotonic() >= until:
                return

    async def give_way(self) -> None:
        """Let all other tasks run if this one has worked for `TURN_SECONDS`."""
        if monotonic() - self._began >= TURN_SECONDS:
            await asyncio.sleep(0)
            self._began = monotonic()


class ArrivalCost:
    """What the deliveries of one account cost. Pure: `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self._seconds, self._count, self._since = 0.0, 0, 0.0
        self._told = False

    def note(self, seconds: float, count: int, now: float) -> float | None:
        """Note the work for so many deliveries; the seconds for each if people should know, once a minute at most."""
        if now - self._since >= MINUTE:
            self._seconds, self._count, self._since, self._told = 0.0, 0, now, False
        self._seconds += seconds
        self._count += count
        if self._told or self._seconds < max(COSTLY_TOTAL_SECONDS, self._count * COSTLY_SECONDS):
            return None
        self._told = True
        return self._seconds / max(self._count, 1)


def split_deliveries(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """Deliveries in their order, in runs that take a short time each."""
    for begin in range(0, len(deliveries), RUN_DELIVERIES):
        run = deliveries[begin : begin + RUN_DELIVERIES]
        if octets_of(run) <= RUN_OCTETS:
            yield run
        else:
            yield from ([delivery] for delivery in run)
