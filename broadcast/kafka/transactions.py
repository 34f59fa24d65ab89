"""Transactions that are over on every partition once they are said to be over (`docs/adr/0010`).

The broker answers a commit when its coordinator has noted it, and writes the markers that show it to readers after
that. A coordinator that starts again finds its note and goes on, but takes a partition without a leader at that moment
for a deleted one, and leaves its marker out for good (`TransactionMarkerChannelManager`, up to Apache Kafka 4.4). A
lone broker that was killed, or a cluster that lost its power, does that in every second start. Such a partition hides
all that follows from readers of committed records until the same transactional id ends another transaction there; and
if that is an abort, it takes the records with it whose commit was answered.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced, UnknownError

from broadcast.kafka.markers import Coordinator, settle


class UnsettledError(KafkaError):
    """A broker was lost while a transaction ended, so that its markers may be missing: start its producer anew."""


class TransactionalProducer(AIOKafkaProducer):
    """A producer whose commit and abort return once every partition has its marker.

    UnsettledError where a connection to a broker was lost before that is certain: then it does nothing more, and the
    next one to `start` with its id sees to the markers first.
    """

    def __init__(self, connection: Mapping[str, Any], topic_prefix: str, transactional_id: str, **options: Any) -> None:
        super().__init__(**connection, transactional_id=transactional_id, **options)
        self._connection = connection
        self._topic_prefix = topic_prefix
        self._transactional_id = transactional_id
        self._coordinator = Coordinator(self.client, transactional_id)
        self._connections: list[Any] = []
        self._settled = True

    async def start(self) -> None:
        """Settle the last transaction of this id, then fence its former owner."""
        await settle(self._connection, self._topic_prefix, self._transactional_id)
        await super().start()

    async def begin_transaction(self) -> None:
        """Begin a transaction; UnsettledError if the one before may still be open on a partition."""
        if not self._settled:
            raise UnsettledError(f"the last transaction of {self._transactional_id} may still be open somewhere")
        await super().begin_transaction()

    async def enlist(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Tell the coordinator what the transaction that has begun will write: positions of a group, and partitions.

        What is not named here is told when it is written, which takes a question more to the broker each: named before,
        all of it is one wait, and what the transaction carries can be chosen after that.
        """
        for partition in partitions:
            self._txn_manager.maybe_add_partition_to_txn(partition)
        while not await self._sender._do_add_offsets_to_txn(group):
            pass
        if not self._txn_manager.is_in_transaction():
            await self._txn_manager.wait_for_transaction_end()

    async def commit_transaction(self) -> None:
        """Commit; returns when readers of committed records see the transaction."""
        await self.note_commit()
        await self.confirm()

    async def abort_transaction(self) -> None:
        """Abort; returns when readers of committed records are past the transaction."""
        self._remember()
        await super().abort_transaction()
        await self.confirm()

    async def note_commit(self) -> None:
        """Do the first half of a commit: it cannot be undone after that, but readers may not see it yet."""
        self._remember()
        try:
            await super().commit_transaction()
        except KafkaError as error:
            if not isinstance(error.__cause__, UnknownError):
                raise
            # Asked for a commit in the moment in which it begins to fence this id, a coordinator cannot prepare the two
            # ends at once (TransactionMetadata.prepareTransitionTo), and has no name for that.
            raise ProducerFenced(f"the coordinator ends {self._transactional_id} otherwise: another has it") from error

    async def confirm(self) -> None:
        """Do the second half of a commit: returns when readers see it. Due before the next transaction."""
        await self._coordinator.look()
        if not all(connection.connected() for connection in self._connections):
            raise UnsettledError(f"a broker was lost while a transaction of {self._transactional_id} ended")
        self._settled = True

    def _remember(self) -> None:
        self._settled = False
        # Under the name "bootstrap" is one that is closed as soon as the brokers are known.
        self._connections = [
            connection for (node, _), connection in self.client._conns.items() if isinstance(node, int)
        ]
