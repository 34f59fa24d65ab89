"""The lock file of Apache Kafka's jars."""

import re
from pathlib import Path

import pytest

from broadcast.embedded.errors import JarError
from broadcast.embedded.servers.jars import MAVEN_CENTRAL, maven_repository, read_lock

SHA256 = re.compile(r"[0-9a-f]{64}")


def test_lock_holds_the_broker_and_a_hash_for_each_jar() -> None:
    jars = read_lock()
    assert [jar.version for jar in jars if jar.artifact == "kafka_2.13"] == ["4.4.0"]
    assert all(SHA256.fullmatch(jar.sha256) and jar.size > 0 for jar in jars)
    assert len({jar.name for jar in jars}) == len(jars)


def test_path_is_that_of_a_maven_repository() -> None:
    jar = next(jar for jar in read_lock() if jar.artifact == "kafka-clients")
    assert jar.path == "org/apache/kafka/kafka-clients/4.4.0/kafka-clients-4.4.0.jar"


def test_lock_names_no_host() -> None:
    lock = Path(read_lock.__code__.co_filename).with_name("jars.lock").read_text()
    assert "://" not in lock


def test_repository_is_maven_central_unless_set() -> None:
    assert maven_repository({}) == MAVEN_CENTRAL
    assert maven_repository({"BROADCAST_MAVEN_REPOSITORY": "http://mirror/maven2/"}) == "http://mirror/maven2"
    with pytest.raises(JarError, match=r"BROADCAST_MAVEN_REPOSITORY is 'mirror'.*https"):
        maven_repository({"BROADCAST_MAVEN_REPOSITORY": "mirror"})
