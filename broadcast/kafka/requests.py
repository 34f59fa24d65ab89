"""Requests of the Kafka protocol that aiokafka has none of: what a transaction has become, and its markers.

Names, fields and versions are those of the message definitions in Apache Kafka's `clients` module
(`DescribeTransactionsRequest.json` and so on); all are flexible versions (KIP-482), in brokers since 3.0.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

NO_TAGS: Final[dict[int, bytes]] = {}
TEXT: Final = CompactString("utf-8")
TOPICS: Final = CompactArray(("name", TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))

Partitions = Mapping[str, Sequence[int]]
"""Partition numbers by topic."""


def _topics(partitions: Partitions) -> list[tuple[str, list[int], dict[int, bytes]]]:
    return [(topic, list(numbers), NO_TAGS) for topic, numbers in partitions.items()]


class DescribeTransactionsResponse_v0(Response):  # noqa: N801 (as aiokafka names them)
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", TEXT),
                ("transaction_state", TEXT),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", TOPICS),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeTransactionsRequest_v0(RequestStruct):  # noqa: N801
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeTransactionsResponse_v0
    SCHEMA = Schema(("transactional_ids", CompactArray(TEXT)), ("tags", TaggedFields))


class DescribeTransactionsRequest(Request[DescribeTransactionsRequest_v0]):
    """Asks for the last transaction of a transactional id; send it to the coordinator's node."""

    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, request_struct_class: type[DescribeTransactionsRequest_v0]) -> DescribeTransactionsRequest_v0:
        """The request in the form that aiokafka's client sends."""
        return request_struct_class([self._transactional_id], NO_TAGS)


class DescribeProducersResponse_v0(Response):  # noqa: N801
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", TEXT),
                        (
                            "active_producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("current_txn_start_offset", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest_v0(RequestStruct):  # noqa: N801
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeProducersResponse_v0
    SCHEMA = Schema(("topics", TOPICS), ("tags", TaggedFields))


class DescribeProducersRequest(Request[DescribeProducersRequest_v0]):
    """Asks for the producers of partitions and their open transactions; send it to the leader's node."""

    API_KEY = 61

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[DescribeProducersRequest_v0]) -> DescribeProducersRequest_v0:
        """The request in the form that aiokafka's client sends."""
        return request_struct_class(_topics(self._partitions), NO_TAGS)


class ListTransactionsResponse_v0(Response):  # noqa: N801
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(TEXT)),
        (
            "transaction_states",
            CompactArray(
                ("transactional_id", TEXT),
                ("producer_id", Int64),
                ("transaction_state", TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest_v0(RequestStruct):  # noqa: N801
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ListTransactionsResponse_v0
    SCHEMA = Schema(
        ("state_filters", CompactArray(TEXT)), ("producer_id_filters", CompactArray(Int64)), ("tags", TaggedFields)
    )


class ListTransactionsRequest(Request[ListTransactionsRequest_v0]):
    """Asks a node for the transactional ids that it coordinates, of these producers; needs DESCRIBE on the ids."""

    API_KEY = 66

    def __init__(self, producer_ids: Sequence[int]) -> None:
        self._producer_ids = producer_ids

    def build(self, request_struct_class: type[ListTransactionsRequest_v0]) -> ListTransactionsRequest_v0:
        """The request in the form that aiokafka's client sends."""
        return request_struct_class([], list(self._producer_ids), NO_TAGS)


class WriteTxnMarkersResponse_v1(Response):  # noqa: N801
    API_KEY = 27
    API_VERSION = 1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                (
                    "topics",
                    CompactArray(
                        ("name", TEXT),
                        (
                            "partitions",
                            CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class WriteTxnMarkersRequest_v1(RequestStruct):  # noqa: N801
    API_KEY = 27
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = WriteTxnMarkersResponse_v1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("transaction_result", Boolean),
                ("topics", TOPICS),
                ("coordinator_epoch", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class WriteTxnMarkersRequest(Request[WriteTxnMarkersRequest_v1]):
    """Ends a producer's transaction on one partition; send it to the leader's node. Needs ALTER on the cluster."""

    API_KEY = 27

    def __init__(
        self, topic: str, partition: int, *, producer_id: int, producer_epoch: int, coordinator_epoch: int, commit: bool
    ) -> None:
        self._marker = (
            producer_id,
            producer_epoch,
            commit,
            _topics({topic: [partition]}),
            coordinator_epoch,
            NO_TAGS,
        )

    def build(self, request_struct_class: type[WriteTxnMarkersRequest_v1]) -> WriteTxnMarkersRequest_v1:
        """The request in the form that aiokafka's client sends."""
        return request_struct_class([self._marker], NO_TAGS)
