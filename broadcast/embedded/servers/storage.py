"""The format of Kafka's storage: written once by its own tool, then copied from the cache for each new directory.

The tool takes 2 s of a core. What it writes is the same for each directory, but for the ids in `meta.properties`.
"""

import base64
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from uuid import uuid4

from broadcast.embedded.directory import write_private

META = "meta.properties"
CHECKPOINT = Path("__cluster_metadata-0") / "00000000000000000000-0000000000.checkpoint"
"""The first records of the metadata: the features of this version of Kafka."""
NODE_ID = 1
META_VERSION = 1
DIGEST_BYTES = 32


class StorageFormat:
    """The format for one version and configuration of Kafka, in a cache that may be missing or damaged."""

    def __init__(self, cache: Path, *made_from: bytes) -> None:
        """`made_from`: all that the format depends on."""
        key = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:DIGEST_BYTES]
        self.file = cache / "kafka" / f"{key}.checkpoint"

    def copy_to(self, log_directory: Path) -> bool:
        """Format a directory from the cache; False if the cache does not have it whole."""
        content = self._read()
        if content is None:
            return False
        checkpoint = log_directory / CHECKPOINT
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        write_private(checkpoint, content)
        # Last: a directory with it is formatted.
        write_private(
            log_directory / META,
            f"cluster.id={_new_id()}\ndirectory.id={_new_id()}\nnode.id={NODE_ID}\nversion={META_VERSION}\n",
        )
        return True

    def keep(self, log_directory: Path) -> None:
        """Keep what the tool has written, if the cache can be written."""
        with contextlib.suppress(OSError):
            content = (log_directory / CHECKPOINT).read_bytes()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.file.parent, prefix=f".{self.file.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            Path(draft).rename(self.file)

    def _read(self) -> bytes | None:
        try:
            found = self.file.read_bytes()
        except OSError:
            return None
        digest, content = found[:DIGEST_BYTES], found[DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None


def is_formatted(log_directory: Path) -> bool:
    """Whether Kafka can start on this directory."""
    return (log_directory / META).exists()


def _new_id() -> str:
    """16 random bytes as Kafka writes an id: 22 characters of URL-safe base64, of which the first is no minus."""
    while (text := base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
