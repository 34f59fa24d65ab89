"""The check of topics: what differs from the catalogue is a fault that names topic, value and next step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broadcast.errors import SettingsError
from broadcast.kafka.topics import FoundTopic, config_of, faults_of, topics_of
from broadcast.routes_file import load_routes
from broadcast.routing import Account, Route
from broadcast.settings import Settings

SETTINGS = Settings(topic_prefix="x.", replication_factor=3, min_insync_replicas=2)
ROUTES = [
    Route(
        name="north",
        prefixes=("+",),
        partitions=6,
        delays_seconds=(1, 5),
        accounts=(Account(name="n", host="127.0.0.1", port=1, system_id="n"),),
    )
]
TOPICS = topics_of(SETTINGS, ROUTES)
FITTING = {
    topic.name: FoundTopic(topic.partitions, SETTINGS.replication_factor, led=True, config=config_of(topic, SETTINGS))
    for topic in TOPICS
}


def test_fitting_topics_have_no_fault() -> None:
    assert faults_of(TOPICS, FITTING, SETTINGS) == []


def test_every_route_has_its_lanes_and_delays() -> None:
    names = {topic.name for topic in TOPICS if topic.name.startswith("x.jobs.")}
    assert names == {
        *(f"x.jobs.north.{lane}.v1" for lane in ("immediate", "priority", "routine")),
        *(f"x.jobs.north.{lane}.delay.{n}s.v1" for lane in ("immediate", "priority", "routine") for n in (1, 5)),
    }
    assert {topic.partitions for topic in TOPICS if topic.name in names} == {6}


def test_a_missing_topic_says_how_to_make_it() -> None:
    there = {name: found for name, found in FITTING.items() if name != "x.alerts.v1"}
    (fault,) = faults_of(TOPICS, there, SETTINGS)
    assert str(fault) == "topic x.alerts.v1: topic is missing, must be there; run `broadcast topics create`"


@pytest.mark.parametrize(
    ("change", "field", "wanted", "found"),
    [
        ({"partitions": 2}, "partitions", "1", "2"),
        ({"replication": 2}, "replication", "at least 3", "2"),
        (
            {"config": {"cleanup.policy": "delete", "retention.ms": "-1", "min.insync.replicas": "2"}},
            *("cleanup.policy", "compact", "delete"),
        ),
        (
            {"config": {"cleanup.policy": "compact", "retention.ms": "1", "min.insync.replicas": "2"}},
            *("retention.ms", "-1", "1"),
        ),
        ({"config": {"cleanup.policy": "compact", "retention.ms": "-1"}}, *("min.insync.replicas", "2", "None")),
    ],
)
def test_each_difference_is_a_fault(change: dict[str, Any], field: str, wanted: str, found: str) -> None:
    there = FITTING | {"x.control.v1": replace(FITTING["x.control.v1"], **change)}
    (fault,) = faults_of(TOPICS, there, SETTINGS)
    assert (fault.topic, fault.field, fault.wanted, fault.found) == ("x.control.v1", field, wanted, found)
    assert fault.step


def test_more_replicas_than_asked_for_are_no_fault() -> None:
    there = {name: replace(found, replication=5) for name, found in FITTING.items()}
    assert faults_of(TOPICS, there, SETTINGS) == []


def test_phone_numbers_are_kept_no_longer_than_a_day_after_the_longest_expiry() -> None:
    with_numbers = [topic for topic in TOPICS if topic.name.startswith(("x.jobs.", "x.inbound.", "x.deadletters."))]
    assert len(with_numbers) == 3 + 3 * 2 + 2
    assert {topic.retention_seconds for topic in with_numbers} == {SETTINGS.longest_expiry_seconds + 86_400}


def test_routes_need_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BROADCAST_ROUTES_FILE is not set"):
        load_routes(SETTINGS)
    with pytest.raises(SettingsError, match=r"BROADCAST_ROUTES_FILE = .*none\.toml: No such file"):
        load_routes(SETTINGS.model_copy(update={"routes_file": tmp_path / "none.toml"}))
