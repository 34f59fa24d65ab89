"""The topics on the broker: made from the catalogue, and checked against it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from broadcast.clock import monotonic
from broadcast.errors import SettingsError, UnavailableError
from broadcast.kafka.clients import AWAY, make_admin
from broadcast.retry import Backoff
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.topics import Names, RouteTopics, Topic, catalogue

BROKER_BUDGET_SECONDS = 60.0
"""A broker that was just started with a large log needs tens of seconds; a wrong address needs none."""

LEADERS_BUDGET_SECONDS = 15.0
"""From the answer to CreateTopics until every partition has a leader: well under a second, but for a busy cluster."""

LEADERS_PAUSE_SECONDS = 0.1
"""Between two looks at the leaders of new partitions."""

TRANSACTION_LIMIT = "transaction.max.timeout.ms"
TRANSACTION_LIMIT_MS = 60_000
"""Most that a broker may grant a client for one transaction: for so long it can keep all readers of a topic waiting."""

_BROKER = "broker "  # no topic has a space in its name

_EXISTS = 36  # TopicAlreadyExists: another process was first, and the check says whether it fits


class TopicsError(SettingsError):
    """Topics are missing or do not fit; one line for each, with topic, value and next step."""


@dataclass(frozen=True, slots=True)
class TopicFault:
    """What is wrong with one topic, or a broker: `field` is what it should be `wanted`, and is `found`."""

    topic: str
    field: str
    wanted: str
    found: str
    step: str

    def __str__(self) -> str:
        name = self.topic if self.topic.startswith(_BROKER) else f"topic {self.topic}"
        return f"{name}: {self.field} is {self.found}, must be {self.wanted}; {self.step}"


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """One topic as the broker has it; `config` holds the broker's names and values."""

    partitions: int
    replication: int
    led: bool
    config: Mapping[str, str]


def topics_of(settings: Settings, routes: Iterable[Route]) -> list[Topic]:
    """The catalogue for these settings and routes."""
    return catalogue(
        Names(settings.topic_prefix),
        [RouteTopics(route.name, route.partitions, route.delays_seconds) for route in routes],
        longest_expiry_seconds=settings.longest_expiry_seconds,
        expansion_partitions=settings.expansion_partitions,
        status_partitions=settings.status_partitions,
        receipt_partitions=settings.receipt_partitions,
    )


def config_of(topic: Topic, settings: Settings) -> dict[str, str]:
    """The broker's configuration of a topic."""
    retention = topic.retention_seconds * 1000 if topic.retention_seconds >= 0 else -1
    # A segment is deleted as a whole, and the one that is written to never is.
    stamped = {"message.timestamp.type": "LogAppendTime", "segment.ms": str(retention)} if topic.stamped else {}
    return stamped | {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(retention),
        "min.insync.replicas": str(settings.min_insync_replicas),
    }


async def wait_for_broker(settings: Settings, *, timeout_seconds: float = BROKER_BUDGET_SECONDS) -> AIOKafkaAdminClient:
    """A started admin client (close it); UnavailableError when no broker answered within the budget."""
    deadline = monotonic() + timeout_seconds
    pause = Backoff()
    while True:
        admin = make_admin(settings)
        try:
            await admin.start()
            return admin
        except AWAY as error:
            await admin.close()
            left_seconds = deadline - monotonic()
            if left_seconds <= 0:
                raise UnavailableError(
                    f"no Kafka broker at BROADCAST_KAFKA_BOOTSTRAP = {settings.kafka_bootstrap} within "
                    f"{timeout_seconds:g} s ({error}); start it, or correct the address"
                ) from None
            await pause.wait("kafka", "topics", error, at_most=left_seconds)


async def create_topics(
    settings: Settings, routes: Iterable[Route], *, timeout_seconds: float = BROKER_BUDGET_SECONDS
) -> list[str]:
    """Create every missing topic, wait for leaders, and check all topics; returns the names of new ones.

    Raises TopicsError when the broker refuses one or an existing one does not fit, UnavailableError without a broker.
    """
    wanted = topics_of(settings, routes)
    admin = await wait_for_broker(settings, timeout_seconds=timeout_seconds)
    try:
        existing = await find_topics(admin, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in existing]
        created = await _create(admin, missing, settings) if missing else []
        faults = faults_of(wanted, await _await_leaders(admin, [topic.name for topic in wanted]), settings)
    finally:
        await admin.close()
    if faults:
        raise TopicsError("\n".join(map(str, faults)))
    return created


async def check_topics(
    settings: Settings, routes: Iterable[Route], *, timeout_seconds: float = BROKER_BUDGET_SECONDS
) -> list[TopicFault]:
    """The differences between the broker's topics and the catalogue, and what each broker must limit; or empty."""
    wanted = topics_of(settings, routes)
    admin = await wait_for_broker(settings, timeout_seconds=timeout_seconds)
    try:
        faults = faults_of(wanted, await find_topics(admin, [topic.name for topic in wanted]), settings)
        return faults + limit_faults(await _find_limits(admin))
    finally:
        await admin.close()


async def find_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    """The named topics as the broker has them; topics that are missing are left out."""
    # All topics are asked for: naming one that is missing would create it where the broker creates on demand.
    known = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    present = [name for name in names if name in known]
    if not present:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in present]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _kind, name, entries in response.resources:
            if code:
                raise TopicsError(f"topic {name}: the broker does not show its configuration ({message}); allow it")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return {
        name: FoundTopic(
            partitions=len(known[name]),
            replication=min((len(partition["replicas"]) for partition in known[name]), default=0),
            led=bool(known[name]) and all(partition["leader"] >= 0 for partition in known[name]),
            config=configs.get(name, {}),
        )
        for name in present
    }


def faults_of(wanted: Iterable[Topic], found: Mapping[str, FoundTopic], settings: Settings) -> list[TopicFault]:
    """Every difference that matters between the catalogue and the broker."""
    faults = []
    for topic in wanted:
        there = found.get(topic.name)
        if there is None:
            faults.append(TopicFault(topic.name, "topic", "there", "missing", "run `broadcast topics create`"))
            continue
        if there.partitions != topic.partitions:
            step = "partitions are fixed for life: correct the setting, or delete the topic while it is empty"
            faults.append(TopicFault(topic.name, "partitions", str(topic.partitions), str(there.partitions), step))
        if there.replication < settings.replication_factor:
            step = "reassign its partitions, or lower BROADCAST_REPLICATION_FACTOR"
            wanted_replicas = f"at least {settings.replication_factor}"
            faults.append(TopicFault(topic.name, "replication", wanted_replicas, str(there.replication), step))
        for name, value in config_of(topic, settings).items():
            if there.config.get(name) != value:
                step = f"set it: kafka-configs.sh --alter --topic {topic.name} --add-config {name}={value}"
                faults.append(TopicFault(topic.name, name, value, str(there.config.get(name)), step))
    return faults


def limit_faults(limits: Mapping[str, str | None]) -> list[TopicFault]:
    """A fault for each broker that lets a transaction be open for too long.

    None is a broker that does not show its limit.
    """
    most = f"at most {TRANSACTION_LIMIT_MS}"
    return [
        TopicFault(f"{_BROKER}{node}", TRANSACTION_LIMIT, most, "not shown", "allow DESCRIBE_CONFIGS on the cluster")
        if found is None
        else TopicFault(
            f"{_BROKER}{node}", TRANSACTION_LIMIT, most, found, "set it in the broker's properties, and restart it"
        )
        for node, found in sorted(limits.items())
        if found is None or int(found) > TRANSACTION_LIMIT_MS
    ]


async def _find_limits(admin: AIOKafkaAdminClient) -> dict[str, str | None]:
    nodes = [str(broker["node_id"]) for broker in (await admin.describe_cluster())["brokers"]]
    resources = [ConfigResource(ConfigResourceType.BROKER, node, {TRANSACTION_LIMIT: None}) for node in nodes]
    limits: dict[str, str | None] = dict.fromkeys(nodes)
    for response in await admin.describe_configs(resources):
        for _code, _message, _kind, node, entries in response.resources:
            limits[node] = next((entry[1] for entry in entries), None)
    return limits


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: Settings) -> list[str]:
    response = await admin.create_topics(
        [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=settings.replication_factor,
                topic_configs=config_of(topic, settings),
            )
            for topic in topics
        ]
    )
    refused = [(name, message) for name, code, message in response.topic_errors if code not in (0, _EXISTS)]
    if refused:
        raise TopicsError(
            "\n".join(
                f"topic {name}: the broker refused to create it ({message}); correct that" for name, message in refused
            )
        )
    return [name for name, code, _ in response.topic_errors if code == 0]


async def _await_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    deadline = monotonic() + LEADERS_BUDGET_SECONDS
    while True:
        found = await find_topics(admin, names)
        waiting = [name for name in names if name not in found or not found[name].led]
        if not waiting:
            return found
        if monotonic() >= deadline:
            raise UnavailableError(
                f"topic {waiting[0]} (and {len(waiting) - 1} more) has no leader after {LEADERS_BUDGET_SECONDS:g} s; "
                "look at the brokers' logs"
            )
        await asyncio.sleep(LEADERS_PAUSE_SECONDS)
