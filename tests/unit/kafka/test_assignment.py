"""An assignment holds until the group assigns again or a broker is connected again, and knows it."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from broadcast.kafka.assignment import Assignments

FIRST, SECOND = TopicPartition("statuses", 0), TopicPartition("statuses", 1)


class Consumer:
    """What an assignment is taken from: partitions, and connections by broker."""

    def __init__(self) -> None:
        self.partitions = {SECOND, FIRST}
        self._client = SimpleNamespace(_conns={1: object()})

    def assignment(self) -> set[TopicPartition]:
        return self.partitions

    def reconnect(self, broker: int) -> None:
        self._client._conns[broker] = object()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


async def test_it_holds_while_nothing_changes(consumer: Consumer) -> None:
    assignments = Assignments(consumer)
    assignment = assignments.take()
    assert assignment.partitions == (FIRST, SECOND)
    assert assignment.current
    assert assignments.take() == assignment


async def test_the_group_ends_it_when_it_revokes_and_when_it_assigns(consumer: Consumer) -> None:
    assignments = Assignments(consumer)
    for change in (assignments.on_partitions_revoked, assignments.on_partitions_assigned):
        assignment = assignments.take()
        await change([FIRST])
        assert assignment.revoked
        assert not assignment.current
        assert assignments.take().current


@pytest.mark.parametrize("broker", [1, 2], ids=["the same broker", "another broker"])
async def test_a_new_connection_ends_it(consumer: Consumer, broker: int) -> None:
    assignment = Assignments(consumer).take()
    consumer.reconnect(broker)
    assert not assignment.current
    assert not assignment.revoked
