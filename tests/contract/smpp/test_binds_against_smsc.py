"""Binds against the simulator over real TCP: credentials, TLS, enquire_link, unbind."""

import asyncio
import socket
from collections import Counter
from pathlib import Path

import pytest

from broadcast.smpp.account import BindConfig, Tls
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.command_status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID
from broadcast.smpp.errors import BindError
from broadcast.smsc.server import SmscConfig
from tests.support.smpp import StartClient
from tests.support.waiting import eventually

CERTIFICATE, KEY = (Path(__file__).with_name(name) for name in ("localhost.pem", "localhost.key.pem"))
GONE = CERTIFICATE.with_name("no.pem")


async def test_a_silent_smsc_is_dropped_after_two_enquire_links(start: StartClient) -> None:
    client = await start(silent=False)
    session = await client.connect(enquire_link_seconds=0.2)
    client.offer(3)
    await eventually(lambda: len(client.accepted) == 3)
    client.change_behaviour(silent=True)
    client.offer(3, first=3)
    async with asyncio.timeout(10.0):
        await session.closed.wait()
    assert sorted(client.unknown) == [3, 4, 5]
    assert "enquire_link" in str(client.errors[-1])


async def test_enquire_link_is_answered_while_busy(start: StartClient) -> None:
    client = await start(receipts=False)
    client.offer(20_000)
    session = await client.connect(enquire_link_seconds=0.1)
    await eventually(lambda: len(client.accepted) == 20_000)
    await eventually(lambda: client.smsc.simulator.state.metrics.enquire_links >= 3)
    assert not session.closed.is_set()


async def test_unbind_by_the_smsc(start: StartClient) -> None:
    client = await start()
    session = await client.connect()
    client.smsc.simulator.unbind_links()
    async with asyncio.timeout(10.0):
        await session.closed.wait()
    assert session.room == 0


@pytest.mark.parametrize(
    ("system_id", "password", "status", "retryable"),
    [("client", "wrong", RINVPASWD, False), ("other", "secret", RINVSYSID, False)],
)
async def test_wrong_credentials(
    start: StartClient, system_id: str, password: str, status: int, retryable: bool
) -> None:
    client = await start(SmscConfig(system_id="client", password="secret"))
    with pytest.raises(BindError) as caught:
        await client.connect(system_id=system_id, password=password)
    assert (caught.value.command_status, caught.value.retryable) == (status, retryable)
    assert password not in str(caught.value)
    await client.connect(system_id="client", password="secret")


@pytest.mark.parametrize(("status", "retryable"), [(RALYBND, True), (RBINDFAIL, False), (0x401, True)])
async def test_refused_binds(start: StartClient, status: int, retryable: bool) -> None:
    client = await start(refuse_binds=status)
    with pytest.raises(BindError) as caught:
        await client.connect()
    assert (caught.value.command_status, caught.value.retryable) == (status, retryable)
    await eventually(lambda: not client.smsc.simulator.state.connections)
    assert client.errors == []


async def test_nobody_there_and_nobody_answering(start: StartClient) -> None:
    client = await start(silent=True)
    with pytest.raises(BindError, match=r"did not answer the bind within 0\.2 s"):
        await client.connect(session_init_seconds=0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(BindError, match="no connection to"):
            await connect(BindConfig(host="127.0.0.1", port=closed.getsockname()[1], system_id="x"), client)


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (Tls(ca_file=GONE), r"tls\.ca_file = '.*no\.pem': cannot be used: No such file"),
        (Tls(ca_file=KEY), r"tls\.ca_file = '.*key\.pem': cannot be used: .*name a PEM file"),
        (Tls(certificate_file=GONE), r"tls\.certificate_file = '.*no\.pem', .* cannot be used: No such file"),
        (Tls(certificate_file=CERTIFICATE, key_file=GONE), r"tls\.key_file = '.*no\.pem': cannot be used"),
    ],
)
async def test_a_file_of_tls_that_went_away_is_named_and_is_no_missing_connection(
    start: StartClient, tls: Tls, message: str
) -> None:
    client = await start(SmscConfig(tls_certificate=CERTIFICATE, tls_key=KEY))
    with pytest.raises(BindError, match=message) as caught:
        await client.connect(tls=tls)
    assert caught.value.retryable
    assert len(client.smsc.simulator.state.connections) == 0


async def test_tls_is_verified(start: StartClient) -> None:
    client = await start(SmscConfig(tls_certificate=CERTIFICATE, tls_key=KEY))
    client.offer(500)
    with pytest.raises(BindError, match=r"TLS with .* failed: .*; check tls\.ca_file$"):
        await client.connect(tls=Tls())
    with pytest.raises(BindError, match=r"; check tls\.server_name: the certificate is for another name$"):
        await client.connect(tls=Tls(ca_file=CERTIFICATE, server_name="elsewhere.example"))
    await client.connect(tls=Tls(ca_file=CERTIFICATE, server_name="localhost"))
    await eventually(lambda: len(client.deliveries) == 500)
    assert client.outcomes == Counter(range(500))
