"""What a broker refuses is said with the right that is missing, or as the fence that it is."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    ProducerFenced,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
)

from broadcast.kafka.markers import check
from broadcast.kafka.transactions import TransactionalProducer


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (31, ClusterAuthorizationFailedError, "the marker on jobs 3: this user needs ALTER on the cluster"),
        (29, TopicAuthorizationFailedError, "the marker on jobs 3: this user needs READ on the topic"),
        (47, KafkaError, "the marker on jobs 3: error 47"),
    ],
)
def test_a_refusal_names_the_partition_and_the_next_step(code: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check(code, "the marker on jobs 3")


def test_no_error_is_none() -> None:
    check(0, "the marker on jobs 3")


@pytest.mark.parametrize(("cause", "fenced"), [(UnknownError(), True), (RequestTimedOutError(), False), (None, False)])
async def test_a_commit_that_meets_the_fence_half_way_is_fenced(cause: KafkaError | None, fenced: bool) -> None:
    class Refused(AIOKafkaProducer):
        async def commit_transaction(self) -> None:
            raise KafkaError("Unexpected error during batch delivery") from cause

    class Producer(TransactionalProducer, Refused):
        """Ours, on one whose commits are refused."""

    producer = Producer({"bootstrap_servers": "127.0.0.1:1"}, "x.", "x.sender")
    with pytest.raises(KafkaError) as raised:
        await producer.note_commit()
    assert isinstance(raised.value, ProducerFenced) is fenced
    await producer.stop()
