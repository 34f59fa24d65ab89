"""Names of topics: which are ours."""

import pytest

from schemas.topics import Names, RouteTopics, catalogue

PREFIX = "city.broadcast."


def test_every_topic_of_the_catalogue_is_ours() -> None:
    names = Names(PREFIX)
    topics = catalogue(names, [RouteTopics("live-1_b", 4, (5, 30, 86_400))])
    assert all(names.has(topic.name) for topic in topics)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "alerts.v1",
        "payments",
        PREFIX,
        f"{PREFIX}alerts.v2",
        f"{PREFIX}alerts.v1\n",
        f"other.{PREFIX}alerts.v1",
        f"{PREFIX}jobs.live.urgent.v1",
        f"{PREFIX}jobs.live.immediate.delay.05s.v1",
        f"{PREFIX}jobs..immediate.v1",
        f"{PREFIX}jobs.a.b.immediate.v1",
    ],
)
def test_no_other_is(topic: str) -> None:
    assert not Names(PREFIX).has(topic)
