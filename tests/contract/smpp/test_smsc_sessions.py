"""Profiles on the wire, sessions: binds, silence, pieces, slow reading, ends, what the SMSC asks, TLS."""

import asyncio
import ssl
from pathlib import Path

import pytest

from broadcast.smpp.codec.bind import parse_bind_response
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    RESPONSE,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    UNBIND,
    encode_pdu,
)
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.profile.reading import read_profile
from broadcast.smsc.server import SmscConfig, SmscServer
from tests.support.raw_smpp import RawClient, Started, StartProfile
from tests.support.waiting import eventually

HERE = Path(__file__).parent
OUTBIND = 0x0B


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("standard", b"tocsin-smsc\0\x02\x10\0\x01\x34"),
        ("no_nul", b"tocsin-smsc"),
        ("no_body", b""),
        ("unknown_tlvs", b"tocsin-smsc\0\x15\0\0\x07unknown\x02\x10\0\x01\x34"),
        ("malformed_tlvs", b"tocsin-smsc\0\x15\x01\xff\xff\x01"),
    ],
)
async def test_forms_of_the_bind_response(play: StartProfile, form: str, body: bytes) -> None:
    client = await (await play(f'behaviour.bind_response = "{form}"')).connect()
    answer = await client.bind()
    assert (answer.status, answer.body) == (0, body)
    assert parse_bind_response(b"tocsin-smsc\0").system_id == b"tocsin-smsc"


@pytest.mark.parametrize(("status", "number"), [("invpaswd", 0x0E), ("ESME_RALYBND", 5), ("0x0D", 0x0D)])
async def test_binds_that_are_refused(play: StartProfile, status: str, number: int) -> None:
    started = await play(f'[[rules]]\nuntil_seconds = 0.5\nbehaviour.refuse_binds = "{status}"')
    client = await started.connect()
    assert (await client.bind()).status == number

    async def accepted() -> bool:
        return (await (await started.connect()).bind()).status == 0

    await eventually(accepted)


async def test_accounts_by_system_id_and_password_each_on_its_port(play: StartProfile) -> None:
    started = await play("""
[[accounts]]
name = "one"
system_id = "alpha"
password = "right"
max_binds = 1
[[accounts]]
name = "two"
port = 0
""")
    ports = started.smsc.ports
    assert ports["one"] == started.smsc.port != ports["two"]

    async def status(port: int, system_id: str, password: str = "right") -> int:
        started.clients.append(await RawClient.connect(port))
        return (await started.clients[-1].bind(system_id, password)).status

    assert await status(ports["one"], "alpha", "wrong") == 0x0E
    assert await status(ports["one"], "one") == 0x0F
    assert await status(ports["one"], "two") == 0x0F
    assert await status(ports["one"], "alpha") == 0
    assert await status(ports["one"], "alpha") == 0x05
    assert await status(ports["two"], "two", "any") == 0


async def test_a_limit_of_binds_is_for_each_account(play: StartProfile) -> None:
    started = await play("""
behaviour.max_binds = 1
[[accounts]]
name = "one"
[[accounts]]
name = "two"
""")

    async def status(system_id: str) -> int:
        started.clients.append(await RawClient.connect(started.smsc.port))
        return (await started.clients[-1].bind(system_id)).status

    assert [await status(name) for name in ("one", "two", "one", "two")] == [0, 0, 0x05, 0x05]


@pytest.mark.parametrize("allowed", ["transmitter", "receiver", "transceiver"])
async def test_modes_that_an_account_allows(play: StartProfile, allowed: str) -> None:
    started = await play(f'[[accounts]]\nname = "a"\nmodes = ["{allowed}"]')
    commands = {"transmitter": BIND_TRANSMITTER, "receiver": BIND_RECEIVER, "transceiver": BIND_TRANSCEIVER}
    for mode, command in commands.items():
        client = await started.connect()
        assert (await client.bind("a", command=command)).status == (0 if mode == allowed else 0x0D)


async def test_receipts_come_on_the_receiver_bind(play: StartProfile) -> None:
    started = await play('[[accounts]]\nname = "a"\nmodes = ["transmitter", "receiver"]')
    sends = await started.bind("a", command=BIND_TRANSMITTER)
    receives = await started.bind("a", command=BIND_RECEIVER)
    await sends.response(sends.submit("491511"))
    await receives.deliveries(1)
    assert not [pdu for pdu in sends.pdus if pdu.command == DELIVER_SM]


async def test_nobody_listens_for_a_while_and_links_end(play: StartProfile) -> None:
    started = await play('[[rules]]\nfrom_seconds = 0.5\nuntil_seconds = 2.5\nbehaviour.connections = "refused"')
    client = await started.bind()
    await eventually(client.ended.is_set)
    with pytest.raises(ConnectionRefusedError):
        await started.connect()

    async def back() -> bool:
        try:
            return (await (await started.connect()).bind()).status == 0
        except OSError:
            return False

    await eventually(back)


async def test_connections_that_are_closed_at_once(play: StartProfile) -> None:
    client = await (await play('behaviour.connections = "closed"')).connect()
    await eventually(client.ended.is_set)


async def test_connections_that_are_never_answered(play: StartProfile) -> None:
    client = await (await play('behaviour.connections = "ignored"')).connect()
    client.send(BIND_TRANSCEIVER, b"x\0y\0\0\x34\0\0\0")
    client.send(ENQUIRE_LINK)
    await asyncio.sleep(0.2)
    assert client.pdus == []
    assert not client.ended.is_set()


async def test_a_bind_that_is_answered_late(play: StartProfile) -> None:
    client = await (await play("behaviour.bind_delay_ms = 800")).connect()
    bind = client.send(BIND_TRANSCEIVER, b"x\0y\0\0\x34\0\0\0")
    await client.response(client.send(ENQUIRE_LINK))
    assert [pdu.command for pdu in client.pdus] == [ENQUIRE_LINK_RESP]
    await client.response(bind)


async def test_pdus_in_pieces_of_one_octet(play: StartProfile) -> None:
    client = await (await play("behaviour.split_bytes = 1")).bind()
    seen = len(client.pieces)
    await client.response(client.submit("491511", registered_delivery=0))
    pieces = client.pieces[seen:]
    assert len(pieces) > 20
    assert max(map(len, pieces)) <= 4


async def test_pdus_that_come_together(play: StartProfile) -> None:
    client = await (await play("behaviour.coalesce_ms = 800")).bind()
    seen = len(client.pieces)
    sequences = []
    for number in range(5):
        sequences.append(client.submit(f"49151{number}"))
        await asyncio.sleep(0.005)
    for sequence in sequences:
        await client.response(sequence)
    assert len(client.pieces) == seen + 1


async def test_silence_is_of_everything_and_mute_of_submits_only(play: StartProfile) -> None:
    started = await play("""
[[accounts]]
name = "silent"
behaviour = { }
[[accounts]]
name = "mute"
behaviour = { hang_share = 1.0, hang_takes = false }
[[rules]]
accounts = ["silent"]
from_seconds = 1.0
behaviour.silent = true
""")
    silent, mute = await started.bind("silent"), await started.bind("mute")
    mute.submit("491511")
    assert (await mute.response(mute.send(ENQUIRE_LINK))).command == ENQUIRE_LINK_RESP
    await asyncio.sleep(1.1)
    silent.send(ENQUIRE_LINK)
    silent.submit("491511")
    await eventually(lambda: started.smsc.simulator.state.metrics.unanswered == 2)
    assert len(silent.pdus) == 1
    assert SUBMIT_SM_RESP not in {pdu.command for pdu in mute.pdus}


async def test_slow_reading_stops_the_client(play: StartProfile) -> None:
    started = await play("behaviour.read_bytes_per_second = 2000")
    client = await started.bind()
    submit = encode_pdu(SUBMIT_SM, 0, 2, encode_message(ShortMessage(destination=b"491511", short_message=b"x" * 254)))
    client.send_bytes(submit * 50_000)
    await asyncio.sleep(0.3)
    assert started.smsc.simulator.state.metrics.submits < 10_000
    assert client.writes_waiting > 0


@pytest.mark.parametrize(("do", "ends"), [("unbind", False), ("close", True)])
async def test_what_the_smsc_ends_again_and_again(play: StartProfile, do: str, ends: bool) -> None:
    started = await play(f'[[events]]\ndo = "{do}"\nat_seconds = 0.2\nevery_seconds = 0.3')
    for _ in range(2):
        client = await started.bind()
        if ends:
            await eventually(client.ended.is_set)
        else:
            await client.wait(lambda here=client: here.pdus[-1].command == UNBIND)  # type: ignore[misc]
            client.send(UNBIND | RESPONSE, sequence=client.pdus[-1].sequence)
            await eventually(client.ended.is_set)


async def test_away_closes_the_port_for_some_time(play: StartProfile) -> None:
    started = await play('[[events]]\ndo = "away"\nat_seconds = 0.2\nseconds = 0.3')
    client = await started.bind()
    await eventually(client.ended.is_set)
    with pytest.raises(ConnectionRefusedError):
        await started.connect()

    async def back() -> bool:
        try:
            return (await (await started.connect()).bind()).status == 0
        except OSError:
            return False

    await eventually(back)


async def test_outbind_on_a_link_and_on_a_connection_of_the_smsc(play: StartProfile) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await reader.readexactly(16))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    events = (
        f'[[events]]\ndo = "outbind"\nat_seconds = 0.2\n[[events]]\ndo = "outbind"\nat_seconds = 0.1\nport = {port}'
    )
    client = await (await play(events)).bind()
    await client.wait(lambda: client.pdus[-1].command == OUTBIND)
    assert client.pdus[-1].body == b"tocsin-smsc\0\0"
    header = await asyncio.wait_for(came.get(), 5.0)
    assert int.from_bytes(header[4:8], "big") == OUTBIND
    server.close()


async def test_enquire_link_of_the_smsc_must_be_answered(play: StartProfile) -> None:
    started = await play("behaviour.enquire_link_seconds = 0.1")
    answering, quiet = await started.bind("answering"), await started.bind("quiet")
    for _ in range(3):
        seen = len(answering.pdus)
        await answering.wait(lambda seen=seen: len(answering.pdus) > seen)  # type: ignore[misc]
        assert answering.pdus[-1].command == ENQUIRE_LINK
        answering.send(ENQUIRE_LINK_RESP, sequence=answering.pdus[-1].sequence)
    await quiet.wait(lambda: len(quiet.pdus) > 2)
    violations = started.smsc.simulator.describe()["violations"]
    assert isinstance(violations, dict)
    assert set(violations) == {"enquire_link_unanswered"}
    assert started.smsc.simulator.state.violations.of_account("answering") == {}


async def test_a_client_that_sends_nothing_is_closed(play: StartProfile) -> None:
    started = await play("behaviour.inactivity_seconds = 0.3")
    busy, quiet = await started.bind(), await started.bind()
    for _ in range(6):
        await busy.response(busy.send(ENQUIRE_LINK))
        await asyncio.sleep(0.1)
    assert quiet.ended.is_set()
    assert not busy.ended.is_set()


async def test_tls_with_certificates_of_clients() -> None:
    profile = read_profile("", "p.toml")
    key, certificate = HERE / "localhost.key.pem", HERE / "localhost.pem"
    config = SmscConfig(tls_certificate=certificate, tls_key=key, tls_client_ca=certificate, profile=profile)
    started = Started(await SmscServer.start(config, Behaviour()))
    try:
        tls = ssl.create_default_context(cafile=certificate)
        anonymous = await RawClient.connect(started.smsc.port, tls)
        await eventually(anonymous.ended.is_set)
        tls.load_cert_chain(certificate, key)
        started.clients.append(await RawClient.connect(started.smsc.port, tls))
        assert (await started.clients[0].bind()).status == 0
        client = started.clients[0]
        assert (await client.response(client.submit("491511"))).status == 0
        await client.deliveries(1)
        await anonymous.close()
    finally:
        await started.stop()
