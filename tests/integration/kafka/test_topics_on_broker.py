"""Topics on a real broker: made from the catalogue, once, and checked against it."""

import pytest
from aiokafka.errors import InvalidTransactionTimeout

from broadcast.errors import UnavailableError
from broadcast.kafka.clients import make_producer
from broadcast.kafka.topics import (
    TRANSACTION_LIMIT_MS,
    TopicsError,
    check_topics,
    create_topics,
    limit_faults,
    topics_of,
)
from broadcast.routing import Route
from broadcast.settings import Settings

ACCOUNT = {"name": "a", "host": "127.0.0.1", "port": 2775, "system_id": "a"}
ROUTES = [Route(name="sim", prefixes=("+",), partitions=3, delays_seconds=(1,), accounts=(ACCOUNT,))]


async def test_topics_are_made_once_and_fit(kafka_settings: Settings) -> None:
    created = await create_topics(kafka_settings, ROUTES)
    assert sorted(created) == sorted(topic.name for topic in topics_of(kafka_settings, ROUTES))
    assert await create_topics(kafka_settings, ROUTES) == []
    assert await check_topics(kafka_settings, ROUTES) == []


async def test_a_client_gets_no_transaction_of_15_minutes(kafka_settings: Settings) -> None:
    patient = make_producer(
        kafka_settings, transactional_id=f"{kafka_settings.topic_prefix}patient", transaction_timeout_ms=900_000
    )
    with pytest.raises(InvalidTransactionTimeout):
        await patient.start()
    await patient.stop()
    longest = TRANSACTION_LIMIT_MS / 1000
    bound = Settings.model_json_schema()["properties"]["transaction_timeout_seconds"]["maximum"]
    assert bound == longest, "what the broker refuses must not be a valid setting"


def test_a_broker_that_allows_longer_transactions_is_a_fault() -> None:
    faults = [str(fault) for fault in limit_faults({"1": "900000", "2": "60000", "3": None})]
    step = "set it in the broker's properties, and restart it"
    assert faults == [
        f"broker 1: transaction.max.timeout.ms is 900000, must be at most 60000; {step}",
        "broker 3: transaction.max.timeout.ms is not shown, must be at most 60000; "
        "allow DESCRIBE_CONFIGS on the cluster",
    ]


async def test_a_new_route_adds_its_topics_alone(kafka_settings: Settings) -> None:
    await create_topics(kafka_settings, ROUTES)
    second = Route(name="south", prefixes=("+49",), partitions=2, delays_seconds=(5,), accounts=(ACCOUNT,))
    created = await create_topics(kafka_settings, [*ROUTES, second])
    assert len(created) == 3 + 3 * 1
    assert all(".south." in name for name in created)


async def test_what_does_not_fit_is_refused_with_topic_value_and_step(kafka_settings: Settings) -> None:
    await create_topics(kafka_settings, ROUTES)
    wider = kafka_settings.model_copy(update={"status_partitions": 7, "longest_expiry_seconds": 3600})
    faults = {
        (fault.topic.removeprefix(wider.topic_prefix), fault.field) for fault in await check_topics(wider, ROUTES)
    }
    assert ("statuses.v1", "partitions") in faults
    assert ("jobs.sim.immediate.v1", "retention.ms") in faults
    with pytest.raises(TopicsError, match=r"statuses\.v1: partitions is 4, must be 7; partitions are fixed for life"):
        await create_topics(wider, ROUTES)


async def test_a_broker_that_is_away_is_waited_for_and_named(kafka_settings: Settings) -> None:
    nowhere = kafka_settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(UnavailableError, match=r"BROADCAST_KAFKA_BOOTSTRAP = 127\.0\.0\.1:1 within 0\.3 s"):
        await check_topics(nowhere, ROUTES, timeout_seconds=0.3)
