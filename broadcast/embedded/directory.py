"""The data directory: held by one stack at a time, with the secrets that outlive a run."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import TextIO

from broadcast.embedded.errors import DirectoryInUseError

LOCK_NAME = "lock"
SECRET_BYTES = 32


class DataDirectory:
    """A directory of our own; `hold` before anything else, `release` at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: TextIO | None = None

    def hold(self) -> None:
        """Make the directory and take its lock, which ends with this process; raises `DirectoryInUseError`."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / LOCK_NAME).open("a+")
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
            self.write_private(file, secrets.token_urlsafe(SECRET_BYTES))
        return file.read_text()

    @staticmethod
    def write_private(file: Path, content: str) -> None:
        """Write a file that only this user may read, all of it or nothing."""
        draft = file.with_name(f"{file.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(content)
        draft.replace(file)
