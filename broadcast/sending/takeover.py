"""What the group gives a sender and takes from it (`docs/sender.md`)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition

log = structlog.get_logger(__name__)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts generations, so that what was read or asked for in one is not used in the next.

    `release` is awaited before partitions go; `fail` ends the process when it fails, because aiokafka would go on.
    """

    def __init__(self, release: Callable[[], Awaitable[None]], fail: Callable[[str], None]) -> None:
        self.generation = 0
        self.partitions: frozenset[TopicPartition] = frozenset()
        self._release: Final = release
        self._fail: Final = fail
        self._assigned: Final = asyncio.Event()

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - the listener's form
        self.generation += 1
        self.partitions = frozenset()
        try:
            await self._release()
        except Exception as error:
            log.exception("partitions_not_released")
            self._fail(f"partitions could not be released: {error!r}")
            raise

    async def on_partitions_assigned(self, assigned: "set[TopicPartition]") -> None:
        self.generation += 1
        self.partitions = frozenset(assigned)
        self._assigned.set()

    async def sleep(self, seconds: float) -> None:
        """As long as that, or until the next assignment."""
        try:
            async with asyncio.timeout(seconds):
                await self._assigned.wait()
        except TimeoutError:
            pass

    async def wait(self) -> int:
        """The generation of the next assignment."""
        await self._assigned.wait()
        self._assigned.clear()
        return self.generation
