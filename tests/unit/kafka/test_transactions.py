"""What a broker refuses is said with the right that is missing."""

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from broadcast.kafka.transactions import check


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
