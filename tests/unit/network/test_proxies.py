"""Proxies of the environment: never for loopback, never shown an API key, and told by name where they are wrong."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from broadcast.api.client import open_client
from broadcast.embedded.errors import JarError
from broadcast.embedded.servers.jars import fetch_jars, read_lock
from broadcast.errors import BroadcastError, SettingsError, UnavailableError
from broadcast.network.proxies import goes_direct
from broadcast.settings import Settings

KEY = "tocsin_1.secret-of-the-key"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@contextmanager
def _listening(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each request with the same octets; its port, and what it was told."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(2)
                        told.append(connection.recv(65536))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], told
        finally:
            over.set()
            thread.join()


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def _settings(url: str, tmp_path: Path) -> Settings:
    return Settings(api_url=url, api_key=SecretStr(KEY), data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "exception"),
    [
        ("http_proxy", "http://127.0.0.1:{port}", None),
        ("HTTP_PROXY", "http://127.0.0.1:{port}", "localhost"),
        ("http_proxy", "127.0.0.1:{port}", "127.0.0.0/8"),
        ("all_proxy", "http://127.0.0.1:{port}", "[::1]"),
        ("ALL_PROXY", "socks5://127.0.0.1:{port}", None),
        ("https_proxy", "ftp://x", "*"),
    ],
)
def test_a_loopback_address_is_never_asked_of_a_proxy(
    name: str, value: str, exception: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _listening(JSON) as (port, told), _listening(REFUSED) as (proxy, shown):
        monkeypatch.setenv(name, value.format(port=proxy))
        if exception is not None:
            monkeypatch.setenv("no_proxy", exception)
        with open_client(_settings(f"http://127.0.0.1:{port}", tmp_path)) as api:
            assert api.get("/v1/alerts") == {}
    assert KEY.encode() in told[0]
    assert shown == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_never_shown_the_key(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _listening(REFUSED) as (proxy, shown):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        with open_client(_settings(f"{scheme}://alerts.invalid:9", tmp_path)) as api, pytest.raises(UnavailableError):
            api.get("/v1/alerts")
    # With TLS it is asked for a tunnel, and sees the host's name alone.
    assert [request.split(b" ")[0] for request in shown] == ([b"CONNECT"] if scheme == "https" else [])
    assert KEY.encode() not in b"".join(shown)


@pytest.mark.parametrize(
    ("name", "value"),
    [("https_proxy", "socks5://127.0.0.1:1"), ("ALL_PROXY", "ftp://user:hunter2@x"), ("no_proxy", "[::1]")],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as told, open_client(_settings("https://alerts.invalid", tmp_path)):
        pass
    assert name in str(told.value)
    assert "hunter2" not in str(told.value)


async def test_jars_come_by_the_proxy_and_a_wrong_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = read_lock()[0]
    with _listening(REFUSED) as (proxy, shown):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        with pytest.raises(JarError, match="403"):
            await fetch_jars(cache=tmp_path, repository="http://maven.invalid/maven2", jars=[jar])
        assert shown[0].startswith(b"GET http://maven.invalid/")
        shown.clear()
        with _listening(REFUSED) as (mirror, told), pytest.raises(JarError, match="403"):
            await fetch_jars(cache=tmp_path, repository=f"http://localhost:{mirror}/maven2", jars=[jar])
        assert (len(told), shown) == (1, [])
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(BroadcastError, match="all_proxy"):
        await fetch_jars(cache=tmp_path, repository="http://maven.invalid/maven2", jars=[jar])


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://127.8.9.1", True),
        ("https://[::1]:8080", True),
        ("https://[::ffff:127.0.0.1]", True),
        ("https://LocalHost.", True),
        ("https://api.localhost", True),
        ("http://alerts.example.net", False),
        ("https://127.0.0.1.example.net", False),
        ("https://10.0.0.1", False),
    ],
)
def test_loopback_is_known_by_address_and_name(url: str, direct: bool) -> None:
    assert goes_direct(httpx.URL(url)) is direct
