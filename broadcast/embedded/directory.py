"""The data directory: held by one stack at a time, with the secrets that outlive a run."""

import fcntl
import os
import secrets
from errno import EACCES
from pathlib import Path
from typing import Final, TextIO

from broadcast.embedded.errors import DirectoryInUseError, DirectoryPathError

LOCK_NAME = "lock"
SECRET_BYTES = 32
UNUSABLE: Final = "'\\"
"""A shell and the readers of `stack.env` take these differently, within quotation marks too."""
LONGEST_PATH: Final = 700
"""Octets; PostgreSQL takes 1,023 with the names of its own files."""


class DataDirectory:
    """A directory of our own; `hold` before anything else, `release` at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: TextIO | None = None

    def hold(self) -> None:
        """Make the directory and take its lock, which ends with this process; raises an EmbeddedError."""
        check_path(self.path)
        self._make()
        lock = os.fdopen(os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise DirectoryInUseError(
                f"the data directory {self.path} is in use by process {holder}: stop that one, or name another "
                "directory with BROADCAST_DATA_DIR"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _make(self) -> None:
        """Make the directory for this user only; one that is there keeps its mode."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(EACCES, os.strerror(EACCES), str(self.path))
        except OSError as error:
            raise DirectoryPathError(
                f"the data directory {self.path} cannot be made or written ({error.strerror}: {error.filename}); make "
                "it writable, or name another one with BROADCAST_DATA_DIR"
            ) from None

    def release(self) -> None:
        """Give the lock back; harmless without one."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_secret(self, name: str) -> str:
        """A random secret in URL-safe characters, made at the first call and the same ever after; mode 0600."""
        directory = self.path / "secrets"
        directory.mkdir(mode=0o700, exist_ok=True)
        file = directory / name
        if not file.exists():
            write_private(file, secrets.token_urlsafe(SECRET_BYTES))
        return file.read_text()


def write_private(file: Path, content: str | bytes) -> None:
    """Write a file that only this user may read, all of it or nothing."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)
    draft.replace(file)


def check_path(path: Path) -> None:
    """Raise `DirectoryPathError` for a path that addresses for shells, or servers, cannot be written with."""
    text = str(path)
    try:
        octets = len(text.encode())
    except UnicodeEncodeError as error:
        raise _refuse(path, f"has an octet that is not UTF-8, at character {error.start + 1}") from None
    for number, letter in enumerate(text, 1):
        if letter in UNUSABLE or not letter.isprintable():
            raise _refuse(path, f"has {letter!r}, at character {number}")
    if "${" in text:
        raise _refuse(path, f"has '${{', at character {text.index('${') + 1}")
    if octets > LONGEST_PATH:
        raise _refuse(path, f"has {octets} octets, and at most {LONGEST_PATH} can be used")


def _refuse(path: Path, why: str) -> DirectoryPathError:
    shown = str(path).encode(errors="backslashreplace").decode()
    return DirectoryPathError(
        f"the data directory {shown!r} cannot be used, because its path {why}; name another one with BROADCAST_DATA_DIR"
    )
