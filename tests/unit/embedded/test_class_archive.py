"""The archive of Kafka's classes is used if it was made of the same files and options, and else not asked for."""

import os
from pathlib import Path

import pytest

from broadcast.embedded.servers.class_archive import class_archive, options_of


@pytest.fixture
def java(tmp_path: Path) -> Path:
    for part in ("bin", "lib"):
        (tmp_path / part).mkdir()
    (tmp_path / "lib" / "modules").write_text("classes")
    return tmp_path / "bin" / "java"


def test_another_jvm_jar_or_option_has_another_archive(java: Path, tmp_path: Path) -> None:
    jar = tmp_path / "kafka.jar"
    jar.write_text("classes")
    found = [class_archive(java, ["-Xms1m"], [jar])]
    assert class_archive(java, ["-Xms1m"], [jar]) == found[0]
    found.append(class_archive(java, ["-Xms2m"], [jar]))
    found.append(class_archive(java, ["-Xms1m"], [jar, java.parents[1] / "lib" / "modules"]))
    os.utime(jar, (1, 1))
    found.append(class_archive(java, ["-Xms1m"], [jar]))
    os.utime(java.parents[1] / "lib" / "modules", (1, 1))
    found.append(class_archive(java, ["-Xms1m"], [jar]))
    assert len(set(found)) == len(found)


def test_an_archive_is_asked_for_only_if_it_is_there(tmp_path: Path) -> None:
    archive = tmp_path / "classes.aot"
    assert options_of(archive) == []
    archive.write_text("classes")
    assert f"-XX:AOTCache={archive}" in options_of(archive)
    assert options_of(archive, record_to=tmp_path / "draft") == [f"-XX:AOTCacheOutput={tmp_path / 'draft'}"]
