"""How much of what SMSCs deliver is worked on before everything else of the process has its turn."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from broadcast.clock import monotonic
from broadcast.smpp.codec.message import Delivery, octets_of

TURN_SECONDS: Final = 0.01
"""A turn ends with the run of deliveries that is worked on then, which takes at most about as long again."""

RUN_DELIVERIES: Final = 100
RUN_OCTETS: Final = 32 * 1024
"""Deliveries that are encoded together; of more octets than this they are encoded singly."""


class Turn:
    """The time since other tasks ran."""

    def __init__(self) -> None:
        self._began = monotonic()

    async def give_way(self) -> None:
        """Let all other tasks run if this one has worked for `TURN_SECONDS`."""
        if monotonic() - self._began >= TURN_SECONDS:
            await asyncio.sleep(0)
            self._began = monotonic()


def split_deliveries(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """Deliveries in their order, in runs that take a short time each."""
    for begin in range(0, len(deliveries), RUN_DELIVERIES):
        run = deliveries[begin : begin + RUN_DELIVERIES]
        if octets_of(run) <= RUN_OCTETS:
            yield run
        else:
            yield from ([delivery] for delivery in run)
