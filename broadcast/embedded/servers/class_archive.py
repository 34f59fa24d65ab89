"""The archive of Kafka's classes as they are once loaded: a start with it takes half the time."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from broadcast.embedded.servers.jars import cache_directory

NAME_LENGTH = 16


def class_archive(java: Path, options: Sequence[str], jars: Sequence[Path]) -> Path:
    """Where the archive is of this JVM with these options and jars; `tests.support.class_archive` makes it.

    The JVM refuses an archive of other files, and says so in the log: a change of any gives the archive another name.
    """
    files = [java.parent.parent / "lib" / "modules", *jars]
    found = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    name = hashlib.sha256(repr((found, options)).encode()).hexdigest()[:NAME_LENGTH]
    return cache_directory() / "kafka" / f"{name}.aot"


def options_of(archive: Path, record_to: Path | None = None) -> list[str]:
    """The JVM's options to use the archive, if it is there, or else to record one at its end."""
    if record_to is not None:
        return [f"-XX:AOTCacheOutput={record_to}"]
    return [f"-XX:AOTCache={archive}", "-Xlog:aot*=off"] if archive.exists() else []
