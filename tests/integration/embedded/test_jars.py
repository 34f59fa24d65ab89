"""Fetching jars from a Maven repository: a server of this test's own, over TCP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broadcast.embedded.errors import JarError
from broadcast.embedded.servers.jars import Jar, fetch_jars
from broadcast.embedded.steps import Progress

CONTENTS = {f"piece{number}": bytes([number]) * (10_000 + number) for number in range(8)}
JARS = [
    Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))
    for name, content in CONTENTS.items()
]
Answer = Callable[[str, int], bytes]
"""Path and how often it was asked before, to the whole response."""


def respond(content: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    stated = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {stated}\r\nConnection: close\r\n\r\n".encode() + content


def right(path: str, _: int) -> bytes:
    return respond(CONTENTS[path.split("/")[-3]])


class Repository:
    """What was asked of it, and where it is."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.address = ""


@asynccontextmanager
async def serve(answer: Answer) -> AsyncIterator[Repository]:
    repository = Repository()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        before = repository.asked.count(path)
        repository.asked.append(path)
        writer.write(answer(path, before))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    repository.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/maven2"
    async with server:
        yield repository


async def test_empty_cache_is_filled_with_progress_to_the_last_byte(tmp_path: Path) -> None:
    news: list[Progress] = []
    async with serve(right) as repository:
        paths = await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS, report=news.append)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    total = sum(map(len, CONTENTS.values()))
    assert (news[0].phase, news[0].total, news[0].unit) == ("started", total, "bytes")
    assert (news[-1].phase, news[-1].done) == ("ended", total)
    done = [item.done for item in news if item.phase == "advanced"]
    assert done == sorted(done)
    assert done[-1] == total


async def test_full_cache_asks_nobody(tmp_path: Path) -> None:
    async with serve(right) as repository:
        await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS)
    news: list[Progress] = []
    await fetch_jars(cache=tmp_path, repository="http://127.0.0.1:9", jars=JARS, report=news.append)
    assert news == []


async def test_damaged_jar_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    async with serve(right) as repository:
        paths = await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS)
        paths[3].write_bytes(b"x" * JARS[3].size)
        repository.asked.clear()
        await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS)
        assert repository.asked == [f"/maven2/{JARS[3].path}"]
    assert paths[3].read_bytes() == CONTENTS[JARS[3].artifact]


async def test_wrong_hash_is_refused_and_fetched_again(tmp_path: Path) -> None:
    def wrong_once(path: str, before: int) -> bytes:
        return respond(b"other") if before == 0 and "piece2" in path else right(path, before)

    news: list[Progress] = []
    async with serve(wrong_once) as repository:
        paths = await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS, report=news.append)
        assert repository.asked.count(f"/maven2/{JARS[2].path}") == 2
    assert paths[2].read_bytes() == CONTENTS["piece2"]
    assert news[-1].done == news[-1].total


async def test_cut_connection_is_tried_again_and_leaves_no_draft(tmp_path: Path) -> None:
    def cut_once(path: str, before: int) -> bytes:
        content = CONTENTS[path.split("/")[-3]]
        return respond(content[:100], length=len(content)) if before == 0 else respond(content)

    async with serve(cut_once) as repository:
        await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS[:2])
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == [jar.name for jar in JARS[:2]]


async def test_missing_jar_is_named_with_address_and_next_step(tmp_path: Path) -> None:
    def missing(path: str, before: int) -> bytes:
        return respond(b"", status="404 Not Found") if "piece1" in path else right(path, before)

    async with serve(missing) as repository:
        with pytest.raises(
            JarError, match=r"piece1-1.0.jar cannot be had from http.*status 404.*BROADCAST_MAVEN_REPOSITORY"
        ):
            await fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS)
        assert repository.asked.count(f"/maven2/{JARS[1].path}") == 1


async def test_two_at_once_both_end_with_all_jars(tmp_path: Path) -> None:
    async with serve(right) as repository:
        both = await asyncio.gather(
            *(fetch_jars(cache=tmp_path, repository=repository.address, jars=JARS) for _ in range(2))
        )
    for paths in both:
        assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert len(list((tmp_path / "jars").iterdir())) == len(JARS)


async def test_repository_may_be_a_directory(tmp_path: Path) -> None:
    for jar in JARS:
        file = tmp_path / "mirror" / jar.path
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENTS[jar.artifact])
    paths = await fetch_jars(cache=tmp_path / "cache", repository=f"file://{tmp_path}/mirror", jars=JARS)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
