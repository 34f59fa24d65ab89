"""Topics on a real broker: made from the catalogue, once, and checked against it."""

import pytest

from broadcast.errors import UnavailableError
from broadcast.kafka.topics import TopicsError, check_topics, create_topics, topics_of
from broadcast.routing import Route
from broadcast.settings import Settings

ACCOUNT = {"name": "a", "host": "127.0.0.1", "port": 2775, "system_id": "a"}
ROUTES = [Route(name="sim", prefixes=("+",), partitions=3, delays_seconds=(1,), accounts=(ACCOUNT,))]


async def test_topics_are_made_once_and_fit(kafka_settings: Settings) -> None:
    created = await create_topics(kafka_settings, ROUTES)
    assert sorted(created) == sorted(topic.name for topic in topics_of(kafka_settings, ROUTES))
    assert await create_topics(kafka_settings, ROUTES) == []
    assert await check_topics(kafka_settings, ROUTES) == []


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
