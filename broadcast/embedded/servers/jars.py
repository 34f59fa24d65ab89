"""The jars of Apache Kafka: fetched once from a Maven repository into the user's cache, checked against `jars.lock`."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from platformdirs import user_cache_path

from broadcast.embedded.errors import JarError, first_error
from broadcast.embedded.steps import Progress, Report, discard
from broadcast.network.proxies import explain_proxies, goes_direct
from broadcast.retry import Backoff

LOCK_FILE = Path(__file__).with_name("jars.lock")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
CONCURRENT_DOWNLOADS = 6
ATTEMPTS = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 4.0
"""0.5 + 1 + 2 + 4 s between five attempts: a proxy recovers in that time, and a person still waits."""
CONNECT_SECONDS = 15.0
READ_SECONDS = 30.0
FINAL_STATUSES = frozenset({401, 403, 404, 410})
"""Answers that another attempt will not change."""
STEP = "Apache Kafka's jars"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name, the same in a repository and in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where a Maven repository keeps it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def cache_directory() -> Path:
    """`BROADCAST_CACHE_DIR`, or `tocsin` in the user's cache."""
    configured = os.environ.get("BROADCAST_CACHE_DIR")
    path = Path(configured).expanduser() if configured else user_cache_path("tocsin")
    if not path.is_absolute() and (not configured or configured.startswith("~")):
        raise JarError("HOME is not set, so the user's cache is not known: set it, or BROADCAST_CACHE_DIR")
    return path.absolute()


def maven_repository(environment: Mapping[str, str] = os.environ) -> str:
    """`BROADCAST_MAVEN_REPOSITORY` (a mirror, http, https or file), or Maven Central; without a slash at its end."""
    base = environment.get("BROADCAST_MAVEN_REPOSITORY") or MAVEN_CENTRAL
    if urlsplit(base).scheme not in {"http", "https", "file"}:
        raise JarError(f"BROADCAST_MAVEN_REPOSITORY is {base!r}: it must start with https://, http:// or file://")
    return base.rstrip("/")


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """Every locked jar, in the lock's order."""
    jars = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256, int(size)))
    return jars


async def fetch_jars(
    *,
    cache: Path | None = None,
    repository: str | None = None,
    jars: Sequence[Jar] | None = None,
    report: Report = discard,
) -> list[Path]:
    """The paths of all jars, each with the locked SHA-256; downloads those that are missing or damaged.

    Safe with several processes at once: each writes a file of its own and renames it into place. Raises `JarError`
    naming the jar, the address and the next step.
    """
    wanted = read_lock() if jars is None else jars
    directory = (cache or cache_directory()) / "jars"
    directory.mkdir(parents=True, exist_ok=True)
    missing = await asyncio.to_thread(_find_missing, directory, wanted)
    if missing:
        await _download_all(missing, directory, repository or maven_repository(), report)
    return [directory / jar.name for jar in wanted]


def _find_missing(directory: Path, jars: Iterable[Jar]) -> list[Jar]:
    return [jar for jar in jars if not _is_intact(directory / jar.name, jar)]


def _is_intact(path: Path, jar: Jar) -> bool:
    try:
        if path.stat().st_size != jar.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


async def _download_all(jars: Sequence[Jar], directory: Path, repository: str, report: Report) -> None:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    total, done = sum(jar.size for jar in jars), 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        report(Progress(STEP, "advanced", done, total, "bytes"))

    report(Progress(STEP, "started", 0, total, "bytes"))
    gate = asyncio.Semaphore(CONCURRENT_DOWNLOADS)
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    direct = repository.startswith("file:") or goes_direct(httpx.URL(repository))
    with explain_proxies():
        made = httpx.AsyncClient(timeout=timeout, follow_redirects=True, trust_env=not direct)
    async with made as client:

        async def download(jar: Jar) -> None:
            async with gate:
                await _download(client, jar, directory, repository, advance)

        try:
            async with asyncio.TaskGroup() as tasks:
                for jar in sorted(jars, key=lambda jar: -jar.size):
                    tasks.create_task(download(jar))
        except ExceptionGroup as group:
            report(Progress(STEP, "failed", done, total, "bytes"))
            raise first_error(group, JarError) from None
    report(Progress(STEP, "ended", total, total, "bytes", loop.time() - began_at))


async def _download(
    client: httpx.AsyncClient, jar: Jar, directory: Path, repository: str, advance: Callable[[int], None]
) -> None:
    address = f"{repository}/{jar.path}"
    pause = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _attempt(client, address, jar, directory, advance)
        except (httpx.TransportError, httpx.HTTPStatusError, OSError, JarError) as error:
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            if status in FINAL_STATUSES or attempt == ATTEMPTS:
                reason = f"HTTP status {status}" if status else str(error) or repr(error)
                raise JarError(
                    f"{jar.name} cannot be had from {address}: {reason}. Check the network, or set "
                    "BROADCAST_MAVEN_REPOSITORY to a mirror of Maven Central"
                ) from error
            await pause.sleep()
        else:
            return


async def _attempt(
    client: httpx.AsyncClient, address: str, jar: Jar, directory: Path, advance: Callable[[int], None]
) -> None:
    """Fetch into a file of its own and rename; on any error nothing stays and the progress is taken back."""
    digest, received = hashlib.sha256(), 0
    handle, draft = tempfile.mkstemp(dir=directory, prefix=f".{jar.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            async for chunk in _read(client, address):
                digest.update(chunk)
                file.write(chunk)
                received += len(chunk)
                advance(len(chunk))
        if digest.hexdigest() != jar.sha256:
            raise JarError(f"{received} bytes with SHA-256 {digest.hexdigest()}, but {jar.sha256} is locked")
        os.chmod(draft, 0o644)  # noqa: PTH101 (a local rename is no blocking I/O worth a thread)
        os.replace(draft, directory / jar.name)  # noqa: PTH105
    except BaseException:
        advance(-received)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)  # noqa: PTH108
        raise


async def _read(client: httpx.AsyncClient, address: str) -> AsyncIterator[bytes]:
    if address.startswith("file:"):
        yield await asyncio.to_thread(Path(urlsplit(address).path).read_bytes)
        return
    async with client.stream("GET", address) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes(1 << 16):
            yield chunk
