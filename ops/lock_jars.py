"""Renew `jars.lock`: resolve Apache Kafka's broker with jgo, fetch each jar once, write its SHA-256.

Usage: .venv/bin/python ops/lock_jars.py [KAFKA_VERSION]
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from broadcast.embedded.servers.jars import LOCK_FILE, maven_repository

KAFKA_VERSION = "4.4.0"
SCALA_VERSION = "2.13"
LOGGING_ARTIFACT = ("org.slf4j", "slf4j-simple")
"""The broker's POM names no slf4j binding, and without one its log is lost."""

HEADER = """\
# Apache Kafka {version} and all it needs at run time. Made by ops/lock_jars.py; do not edit.
# group:artifact:version sha256 bytes
"""


def resolve(version: str, cache: Path) -> list[tuple[str, Path]]:
    """Coordinates and downloaded file of the broker and its run-time dependencies, sorted."""
    context = MavenContext(repo_cache=cache, remote_repos={"maven": maven_repository()})
    component = context.project("org.apache.kafka", f"kafka_{SCALA_VERSION}").at_version(version)
    _, nodes = context.pom_dependency_list(component.pom())
    artifacts = [component.artifact(), *(node.dep.artifact for node in nodes if not node.dep.optional)]
    slf4j = next(artifact.version for artifact in artifacts if artifact.artifactId == "slf4j-api")
    artifacts.append(context.project(*LOGGING_ARTIFACT).at_version(slf4j).artifact())
    return sorted((f"{a.groupId}:{a.artifactId}:{a.version}", Path(a.resolve())) for a in artifacts)


def main() -> None:
    version = sys.argv[1] if len(sys.argv) > 1 else KAFKA_VERSION
    with tempfile.TemporaryDirectory() as cache:
        lines = []
        for coordinates, path in resolve(version, Path(cache)):
            content = path.read_bytes()
            lines.append(f"{coordinates} {hashlib.sha256(content).hexdigest()} {len(content)}\n")
    LOCK_FILE.write_text(HEADER.format(version=version) + "".join(lines))
    sys.stdout.write(f"{len(lines)} jars in {LOCK_FILE}\n")


if __name__ == "__main__":
    main()
