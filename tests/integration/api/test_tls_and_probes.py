"""The API over TLS, and the probe server of the other processes, over real sockets."""

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from broadcast.api.connections import acceptor
from broadcast.api.connections.acceptor import HANDSHAKE_SECONDS, HANDSHAKES_MAX
from broadcast.api.server import serve as serve_api
from broadcast.errors import SettingsError
from broadcast.health import Health
from broadcast.health.http_server import serve
from tests.support.waiting import eventually

from .conftest import NewAlert, Prepared, Served

CERTIFICATE = Path(__file__).parents[2] / "contract" / "smpp" / "localhost.pem"
BURST = 300
STOP_SECONDS = 10.0
CLOSING = 32
"""Descriptors of connections that are about to be closed; connection_limits keeps 64."""
KEY = CERTIFICATE.with_name("localhost.key.pem")


async def test_https_by_settings(prepared: Prepared, served: Served, new_alert: NewAlert) -> None:
    settings, token = prepared
    settings = settings.model_copy(update={"api_tls_cert_file": CERTIFICATE, "api_tls_key_file": KEY})
    async with served(settings, token, verify=ssl.create_default_context(cafile=str(CERTIFICATE))) as api:
        assert api.url.startswith("https://")
        await api.until_ready()
        assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(f"{api.url}/healthz")
            with pytest.raises(httpx.TransportError):
                await stranger.get(f"{api.url.replace('https', 'http')}/healthz")


async def test_half_a_certificate_and_a_taken_port_are_settings_errors(prepared: Prepared) -> None:
    settings, _ = prepared
    for change, said in (
        ({"api_tls_cert_file": CERTIFICATE}, "KEY_FILE"),
        ({"api_tls_cert_file": CERTIFICATE, "api_tls_key_file": CERTIFICATE}, "CERT_FILE"),
        ({"api_host": "203.0.113.1"}, "API_HOST"),
    ):
        with pytest.raises(SettingsError, match=said):
            async with serve_api(settings.model_copy(update=change), Health("api")):
                pass


async def test_probe_server_answers_and_ends() -> None:
    health = Health("sender")
    async with serve(health, "127.0.0.1", 0) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/healthz")).json()["stage"] == "sender"
        assert (await http.get("/readyz")).status_code == 503
        health.release("start")
        assert (await http.get("/readyz")).status_code == 200
        assert "tocsin_build_info" in (await http.get("/metrics")).text
        assert (await http.get("/other")).status_code == 404
        answers = await asyncio.gather(*(http.get("/healthz") for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_probe_server_survives_nonsense_and_does_not_wait_for_idlers() -> None:
    health = Health("sender")
    async with serve(health, "127.0.0.1", 0) as port:
        _, idle = await asyncio.open_connection("127.0.0.1", port)
        for nonsense in (b"\r\n\r\n", b"x" * 40_000 + b"\r\n\r\n", b"\xff\xfe\x00\r\n\r\n", b"GET"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            writer.write_eof()
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        began = time.perf_counter()
    assert time.perf_counter() - began < 2.0
    idle.close()
    with suppress(OSError):
        await idle.wait_closed()


async def test_half_open_handshakes_keep_nobody_out(prepared: Prepared, served: Served, new_alert: NewAlert) -> None:
    settings, token = prepared
    settings = settings.model_copy(update={"api_tls_cert_file": CERTIFICATE, "api_tls_key_file": KEY})
    async with served(settings, token, verify=ssl.create_default_context(cafile=str(CERTIFICATE))) as api:
        await api.until_ready()
        port = int(api.url.rpartition(":")[2])
        hello = ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
        begun = hello.read()
        opened = []
        for number in range(3 * HANDSHAKES_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            # Nothing, half of a first message, or all of it and never an answer.
            writer.write((b"", begun[: len(begun) // 2], begun)[number % 3])
            opened.append((reader, writer))
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(CERTIFICATE))) as other:
                answer = await other.post(
                    f"{api.url}/v1/alerts", json=new_alert(), headers={"Authorization": f"Bearer {token}"}
                )
            assert answer.status_code == 202
        # Each is closed: for a newer one, or because its time is over.
        async with asyncio.timeout(4 * HANDSHAKE_SECONDS):
            for reader, writer in opened:
                with suppress(ConnectionError):
                    await reader.read()
                writer.close()


async def test_a_burst_of_silent_tls_connections_has_no_more_descriptors_than_the_limits(
    prepared: Prepared, served: Served
) -> None:
    settings, token = prepared
    total, per_address = 16, 4
    limits = {"api_connections": total, "api_connections_per_address": per_address}
    settings = settings.model_copy(update={"api_tls_cert_file": CERTIFICATE, "api_tls_key_file": KEY, **limits})
    async with served(settings, token, verify=ssl.create_default_context(cafile=str(CERTIFICATE))) as api:
        await api.until_ready()
        port = int(api.url.rpartition(":")[2])

        def accepted() -> int:
            # Of this process, which serves: those whose own port is the API's. A closed one has no descriptor.
            found = psutil.Process().net_connections("tcp")
            return sum(one.fd != -1 and one.laddr.port == port and bool(one.raddr) for one in found)

        # No turn of the event loop between them: all are in the backlog at once.
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(BURST)]
        most = 0

        async def all_met() -> bool:
            nonlocal most
            most = max(most, accepted())
            return sum(_is_closed(one) for one in silent) >= BURST - per_address

        try:
            await eventually(all_met, "all but the last are closed", within_seconds=HANDSHAKE_SECONDS)
            assert 0 < accepted() <= per_address
            assert most <= per_address + CLOSING
            assert (await api.http.get("/healthz")).is_success
        finally:
            for one in silent:
                one.close()


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def test_a_request_that_comes_with_the_end_of_the_handshake_is_in_work_and_not_late(
    prepared: Prepared, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, token = prepared
    head_seconds = 0.5
    monkeypatch.setattr(acceptor, "HEAD_SECONDS", head_seconds)
    monkeypatch.setattr(acceptor, "SWEEP_SECONDS", 0.1)
    settings = settings.model_copy(update={"api_tls_cert_file": CERTIFICATE, "api_tls_key_file": KEY})
    trusted = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with served(settings, token, verify=trusted) as api:
        await api.until_ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusted.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        body = b'{"reason": "over"}'
        head = (
            f"POST /v1/alerts/{uuid4()}/cancel HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.write(head.encode())
        # The last message of the handshake and the request, in one segment.
        writer.write(outgoing.read())
        try:
            # Longer than header fields may take: the sweep has looked at it.
            await asyncio.sleep(3 * head_seconds)
            client.write(body)
            writer.write(outgoing.read())
            answer = b""
            async with asyncio.timeout(STOP_SECONDS):
                while not answer.startswith(b"HTTP/1.1 "):
                    incoming.write(await reader.read(65_536))
                    with suppress(ssl.SSLWantReadError):
                        answer += client.read(65_536)
            assert answer.startswith(b"HTTP/1.1 404 "), answer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
