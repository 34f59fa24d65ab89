"""The format of Kafka's storage in the cache: whole or not used, and never the same ids twice."""

import os
from pathlib import Path

import pytest

from broadcast.embedded.servers.storage import CHECKPOINT, META, StorageFormat, is_formatted

CONTENT = b"the features of this version"


@pytest.fixture
def kept(tmp_path: Path) -> StorageFormat:
    """A format in a cache."""
    made = tmp_path / "made"
    (made / CHECKPOINT).parent.mkdir(parents=True)
    (made / CHECKPOINT).write_bytes(CONTENT)
    found = StorageFormat(tmp_path / "cache", b"jars", b"properties")
    found.keep(made)
    return found


def ids_of(directory: Path) -> dict[str, str]:
    return dict(line.split("=") for line in (directory / META).read_text().splitlines())


def test_each_copy_has_the_features_and_ids_of_its_own(kept: StorageFormat, tmp_path: Path) -> None:
    copies = [tmp_path / name for name in ("a", "b")]
    assert not any(map(is_formatted, copies))
    assert all(kept.copy_to(each) for each in copies)
    assert all(map(is_formatted, copies))
    assert [(each / CHECKPOINT).read_bytes() for each in copies] == [CONTENT] * 2
    first, second = map(ids_of, copies)
    assert (first["node.id"], first["version"]) == ("1", "1")
    assert len({first["cluster.id"], first["directory.id"], second["cluster.id"], second["directory.id"]}) == 4
    assert all(len(first[name]) == 22 and first[name][0] != "-" for name in ("cluster.id", "directory.id"))


@pytest.mark.parametrize("damage", [b"", b"short", CONTENT * 2], ids=["empty", "short", "other"])
def test_a_damaged_cache_is_not_used_and_written_anew(kept: StorageFormat, tmp_path: Path, damage: bytes) -> None:
    kept.file.write_bytes(damage)
    assert not kept.copy_to(tmp_path / "a")
    assert not is_formatted(tmp_path / "a")
    kept.keep(tmp_path / "made")
    assert kept.copy_to(tmp_path / "a")


def test_another_version_or_configuration_is_another_format(kept: StorageFormat, tmp_path: Path) -> None:
    for made_from in ((b"other jars", b"properties"), (b"jars", b"other properties"), (b"jarsproperties",)):
        assert not StorageFormat(tmp_path / "cache", *made_from).copy_to(tmp_path / "a")


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "made" / CHECKPOINT).parent.mkdir(parents=True)
    (tmp_path / "made" / CHECKPOINT).write_bytes(CONTENT)
    (tmp_path / "cache").write_text("no directory")
    found = StorageFormat(tmp_path / "cache", b"jars")
    found.keep(tmp_path / "made")
    assert not found.copy_to(tmp_path / "a")


def test_a_copy_is_for_its_owner_alone(kept: StorageFormat, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        assert kept.copy_to(tmp_path / "a")
    finally:
        os.umask(mask)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o077 for path in files] == [0, 0]
