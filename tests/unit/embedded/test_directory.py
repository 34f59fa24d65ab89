"""The data directory: one holder at a time, secrets that stay."""

import os
import stat
from pathlib import Path

import pytest

from broadcast.embedded.directory import DataDirectory, write_private
from broadcast.embedded.errors import DirectoryInUseError, DirectoryPathError


def test_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "data"), DataDirectory(tmp_path / "data")
    first.hold()
    with pytest.raises(DirectoryInUseError, match=r"in use by process \d+.*BROADCAST_DATA_DIR"):
        second.hold()
    first.release()
    second.hold()
    second.release()


def test_secret_is_made_once_and_private(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    secret = directory.read_secret("number_hash_key")
    assert len(secret) >= 32
    assert DataDirectory(tmp_path).read_secret("number_hash_key") == secret
    assert directory.read_secret("another") != secret
    assert stat.S_IMODE((tmp_path / "secrets" / "number_hash_key").stat().st_mode) == 0o600


def test_private_file_is_private_even_where_a_public_one_was(tmp_path: Path) -> None:
    file = tmp_path / "stack.env"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("it's", 'has "\'", at character'),
        ("a\\b", "has '\\\\\\\\', at character"),
        ("line\nend", "has '\\\\n', at character"),
        ("${HOME}", r"has '\$\{', at character"),
        (os.fsdecode(b"\xdcbung"), "has an octet that is not UTF-8, at character"),
        ("/".join(["n" * 200] * 4), "octets, and at most 700 can be used"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused_by_its_character(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(DirectoryPathError, match=why) as refused:
        DataDirectory(tmp_path / name).hold()
    assert str(refused.value).encode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Übung, Kreis A", "a=b", "100%", '"', "$x", "#;&", "n" * 200, "日本"])
def test_other_paths_are_taken_and_are_the_owners_alone(tmp_path: Path, name: str) -> None:
    directory = DataDirectory(tmp_path / name)
    directory.hold()
    directory.release()
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory.path / "lock").stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryPathError, match="cannot be made or written"):
        DataDirectory(tmp_path / "file" / "data").hold()
