"""What a recorder is assigned, as one value that knows whether it still holds."""

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition


class Assignments(ConsumerRebalanceListener):
    """The assignments of one consumer: takes the one of this moment. Subscribe with it as the listener."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._generation = 0

    def take(self) -> "Assignment":
        """The partitions that are assigned at this moment."""
        partitions = tuple(sorted(self._consumer.assignment()))
        return Assignment(partitions, self._generation, self.connections(), self)

    @property
    def generation(self) -> int:
        """A number that changes whenever the group revokes or assigns."""
        return self._generation

    def connections(self) -> frozenset[object]:
        """The consumer's connections to brokers."""
        return frozenset(self._consumer._client._conns.values())

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:  # noqa: ARG002
        """Called by the consumer: what was assigned does not hold any more."""
        self._generation += 1

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:  # noqa: ARG002
        """Called by the consumer: what was assigned before does not hold any more."""
        self._generation += 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """Partitions that a recorder may record while this is `current`.

    The broker behind a new connection may hold an old copy of the log: what it says is not recorded before
    `confirm_positions`. So a new connection ends an assignment, as the group does.
    """

    partitions: tuple[TopicPartition, ...]
    generation: int
    connections: frozenset[object]
    source: Assignments

    @property
    def revoked(self) -> bool:
        """True once the group has revoked or assigned anything since."""
        return self.generation != self.source.generation

    @property
    def current(self) -> bool:
        """True until it is revoked, or the consumer has another connection to a broker."""
        return not self.revoked and self.connections == self.source.connections()
