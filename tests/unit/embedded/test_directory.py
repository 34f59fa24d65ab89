"""The data directory: one holder at a time, secrets that stay."""

import stat
from pathlib import Path

import pytest

from broadcast.embedded.directory import DataDirectory
from broadcast.embedded.errors import DirectoryInUseError


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
    DataDirectory.write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
