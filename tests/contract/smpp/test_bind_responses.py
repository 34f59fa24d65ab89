"""Binds against SMSCs whose bind responses are odd: what counts is the command_status."""

import asyncio
import re
from pathlib import Path

import pytest

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.bind import parse_bind
from broadcast.smpp.codec.command_status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID
from broadcast.smpp.codec.pdu import DELIVER_SM, DELIVER_SM_RESP, ENQUIRE_LINK, ENQUIRE_LINK_RESP, Pdu, encode_pdu
from broadcast.smpp.errors import BindError
from broadcast.smpp.kept_bind import name_smsc
from tests.support.scripted_smsc import ScriptedSmsc, scripted_smsc
from tests.support.smpp import RecordingListener
from tests.support.waiting import eventually


def config_for(smsc: ScriptedSmsc) -> BindConfig:
    return BindConfig(host="127.0.0.1", port=smsc.port, system_id="client", session_init_seconds=1.0)


@pytest.mark.parametrize(
    ("body", "smsc_id"),
    [
        (b"", b""),
        (b"\0", b""),
        (b"smsc", b"smsc"),
        (b"smsc\0", b"smsc"),
        (b"x" * 200, b"x" * 200),
        (b"smsc\0\x02\x10\x00\x01\x34", b"smsc"),
        (b"smsc\0\x02\x10\x00\x09\x34", b"smsc"),
        (b"smsc\0\x02", b"smsc"),
        (b"smsc\0\xff\xff\xff\xff", b"smsc"),
    ],
)
async def test_a_bind_response_with_rok_binds_without_nul_and_with_malformed_tlvs(body: bytes, smsc_id: bytes) -> None:
    async with scripted_smsc(bind_body=body) as smsc:
        session = await connect(config_for(smsc), RecordingListener())
        assert session.smsc_id == smsc_id
        assert session.room > 0
        session.abort()


@pytest.mark.parametrize("body", [b"", b"\0", b"smsc", b"smsc\0\xff\xff\xff"])
@pytest.mark.parametrize(
    ("status", "retryable"),
    [(RINVPASWD, False), (RINVSYSID, False), (RBINDFAIL, False), (RALYBND, True), (0x400, True)],
)
async def test_a_refused_bind_is_refused_with_and_without_body(body: bytes, status: int, retryable: bool) -> None:
    async with scripted_smsc(bind_status=status, bind_body=body) as smsc:
        with pytest.raises(BindError, match=r"refused the bind of client") as caught:
            await connect(config_for(smsc), RecordingListener())
        assert (caught.value.command_status, caught.value.retryable) == (status, retryable)
        await eventually(lambda: smsc.open_now == 0)


async def test_a_bind_that_is_not_answered_ends_after_the_session_init_timer() -> None:
    async with scripted_smsc(answer_binds=False) as smsc:
        began = asyncio.get_running_loop().time()
        with pytest.raises(BindError, match=re.escape("did not answer the bind within 1 s")) as caught:
            await connect(config_for(smsc), RecordingListener())
        assert 0.9 < asyncio.get_running_loop().time() - began < 10.0
        assert caught.value.retryable
        await eventually(lambda: smsc.open_now == 0)


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_one_read_is_not_one_pdu_during_the_bind_either(pieces: int) -> None:
    """What comes before, with and after the bind response, cut anywhere, is all processed."""
    delivery = Pdu(DELIVER_SM, 0, 5, b"\0\0\x0049151\0\0\x001\0\0\0\0\0\0\0\0\0\0\x02hi")
    async with scripted_smsc(
        before_bind_resp=encode_pdu(ENQUIRE_LINK, 0, 3), after_bind_resp=encode_pdu(*delivery), bytes_per_write=pieces
    ) as smsc:
        listener = RecordingListener()
        session = await connect(config_for(smsc), listener)
        await eventually(lambda: listener.deliveries)
        session.answer([delivery.sequence for delivery in listener.deliveries])
        assert [(pdu.command, pdu.sequence) for pdu in await smsc.until_received(2)] == [
            (ENQUIRE_LINK_RESP, 3),
            (DELIVER_SM_RESP, 5),
        ]
        session.abort()


async def test_what_a_bind_says_of_itself_can_be_set() -> None:
    async with scripted_smsc() as smsc:
        config = BindConfig(
            host="127.0.0.1",
            port=smsc.port,
            system_id="alerts",
            password="pass word",
            system_type="EBS",
            interface_version=0x50,
            addr_ton=1,
            addr_npi=2,
            address_range="^112",
        )
        session = await connect(config, RecordingListener())
        assert parse_bind(smsc.binds[0].body) == (b"alerts", b"pass word", b"EBS", 0x50, 1, 2, b"^112")
        session.abort()


def test_an_smsc_that_calls_itself_by_our_password_is_not_named_in_the_log() -> None:
    assert name_smsc(b"MelroseLabs", "s3cret") == "MelroseLabs"
    assert name_smsc(b"you are s3cret", "s3cret") == "[hidden]"
    assert name_smsc(b"smsc", "") == "smsc"


async def test_an_smsc_that_closes_before_its_answer_is_named_with_the_words_of_the_runbook() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        config = BindConfig(host="127.0.0.1", port=server.sockets[0].getsockname()[1], system_id="client")
        with pytest.raises(BindError) as caught:
            await connect(config, RecordingListener())
    words = "ended the connection before the bind was over"
    assert words in str(caught.value)
    rows = (Path(__file__).parents[3] / "docs/how-to/bind-down.md").read_text(encoding="utf-8").splitlines()
    assert [row.startswith(f"| {words} |") for row in rows if words in row] == [True]
