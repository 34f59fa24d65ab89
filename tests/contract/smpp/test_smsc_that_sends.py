"""What an SMSC sends of its own accord, at any time: requests, receipts in floods, and nothing read meanwhile."""

import asyncio
import socket
from dataclasses import replace
from itertools import pairwise

import pytest

from broadcast.smpp import link
from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.command_status import RX_T_APPN
from broadcast.smpp.codec.pdu import (
    BIND_TRANSCEIVER,
    DATA_SM,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    encode_pdu,
)
from broadcast.smpp.errors import BindError
from broadcast.smpp.incoming import TURN_PDUS
from tests.support.scripted_smsc import ScriptedSmsc, scripted_smsc
from tests.support.smpp import TEMPLATE, RecordingListener
from tests.support.waiting import eventually

DELIVERY = b"\0\0\x0049151\0\0\x001\0\0\0\0\0\0\0\0\0\0\x02hi"
DATA = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0"
UNASKED = (
    Pdu(ENQUIRE_LINK, 0, 3, b""),
    Pdu(GENERIC_NACK, 3, 0, b""),
    Pdu(DELIVER_SM, 0, 5, DELIVERY),
    Pdu(UNBIND, 0, 6, b""),
)


def config_for(smsc: ScriptedSmsc) -> BindConfig:
    return BindConfig(host="127.0.0.1", port=smsc.port, system_id="client", window=10, session_init_seconds=2.0)


@pytest.mark.parametrize("when", ["with the bind response", "idle", "while submits are unanswered"])
async def test_the_smsc_may_send_unbind_enquire_link_deliver_sm_and_generic_nack_at_any_time(when: str) -> None:
    unasked = UNASKED[:-1] if when == "with the bind response" else UNASKED
    early = b"".join(encode_pdu(*pdu) for pdu in unasked) if when == "with the bind response" else b""
    async with scripted_smsc(before_bind_resp=early, after_bind_resp=early) as smsc:
        listener = RecordingListener()
        session = await connect(config_for(smsc), listener)
        written = 0
        if when == "while submits are unanswered":
            written = session.submit(TEMPLATE, [b"49151"] * 4, range(4))
            await smsc.until_received(written)
        if not early:
            smsc.send(*unasked)
        await eventually(lambda: len(listener.deliveries) == (2 if early else 1))
        session.answer([delivery.sequence for delivery in listener.deliveries])
        if written:
            await eventually(lambda: smsc.of(DELIVER_SM_RESP))
            assert smsc.of(UNBIND_RESP) == [], "its own answers come first"
            smsc.accept(*(pdu.sequence for pdu in smsc.of(SUBMIT_SM)))
        if early:
            await eventually(lambda: len(smsc.of(DELIVER_SM_RESP)) == 2)
            assert session.submit(TEMPLATE, [b"49151"], [0]) == 1
            smsc.accept((await smsc.until_received(5))[-1].sequence)
            await eventually(lambda: listener.responses)
        else:
            await eventually(lambda: smsc.of(UNBIND_RESP))
            await session.closed.wait()
        assert {(pdu.command, pdu.sequence) for pdu in smsc.received if pdu.command != SUBMIT_SM} == {
            (ENQUIRE_LINK_RESP, 3),
            (DELIVER_SM_RESP, 5),
            *(set() if early else {(UNBIND_RESP, 6)}),
        }
        assert [status for _, status, *_ in listener.responses] == [0] * (1 if early else written)
        assert listener.lost == []
        assert session.take_unexpected() == {"response": 2 if early else 1}
        session.abort()


async def test_an_unbind_before_the_bind_response_is_answered_and_is_a_failed_bind() -> None:
    unbind = encode_pdu(UNBIND, 0, 6)
    async with scripted_smsc(before_bind_resp=unbind) as smsc:
        with pytest.raises(BindError, match="ended the connection before the bind was over"):
            await connect(config_for(smsc), RecordingListener())
        await smsc.until_received(1)
        assert [(pdu.command, pdu.sequence) for pdu in smsc.received] == [(UNBIND_RESP, 6)]
        await eventually(lambda: smsc.open_now == 0)


@pytest.mark.parametrize(
    ("command", "body", "answer"), [(DELIVER_SM, DELIVERY, DELIVER_SM_RESP), (DATA_SM, DATA, DATA_SM_RESP)]
)
async def test_receipts_that_nobody_stores_do_not_stop_the_responses_on_the_same_transceiver(
    command: int, body: bytes, answer: int
) -> None:
    count, kept = 30_000, 1_000
    async with scripted_smsc() as smsc:
        listener = RecordingListener()
        session = await connect(replace(config_for(smsc), deliveries_limit=kept), listener)
        assert session.submit(TEMPLATE, [b"49151"] * 10, range(10)) == 10
        sequences = [pdu.sequence for pdu in await smsc.until_received(10)]
        smsc.send(*(Pdu(command, 0, number, body) for number in range(1, count + 1)))
        smsc.accept(*sequences)
        await eventually(lambda: len(listener.responses) == 10)
        assert len(listener.deliveries) == kept
        # What is above the limit the SMSC is asked to send again; what is kept has no answer before it is stored.
        await eventually(lambda: len(smsc.of(answer)) == count - kept)
        assert {pdu.status for pdu in smsc.of(answer)} == {RX_T_APPN}
        assert session.take_unexpected() == {}
        session.abort()


@pytest.mark.parametrize("command", [DELIVER_SM, DATA_SM, SUBMIT_SM])
async def test_thousands_of_faulty_pdus_in_one_read_leave_turns_to_everything_else(command: int) -> None:
    count = 4_096
    async with scripted_smsc() as smsc:
        listener = RecordingListener()
        session = await connect(config_for(smsc), listener)
        seen: list[int] = [0]

        async def watch_turns() -> None:
            while seen[-1] < count:
                seen.append(len(listener.deliveries) + session.unexpected["request"])
                await asyncio.sleep(0)

        # Without a body, where one must be, or of a command that only a client sends.
        smsc.send(*(Pdu(command, 0, number, b"") for number in range(1, count + 1)))
        async with asyncio.timeout(60):
            await watch_turns()
        processed = [after - before for before, after in pairwise(seen)]
        assert max(processed) <= TURN_PDUS.stop
        assert sum(processed) == count
        session.abort()


async def test_receipts_are_answered_at_once_while_submits_go_on() -> None:
    loop = asyncio.get_running_loop()
    async with scripted_smsc() as smsc:

        class Busy(RecordingListener):
            def on_deliveries(self, session, deliveries) -> None:  # type: ignore[no-untyped-def]
                super().on_deliveries(session, deliveries)
                session.answer([delivery.sequence for delivery in deliveries])

        session = await connect(replace(config_for(smsc), window=500), Busy())
        seconds: list[float] = []
        for number in range(1, 41):
            session.submit(TEMPLATE, [b"49151"] * session.room, range(session.room))
            seen, sent_at = len(smsc.received), loop.time()
            smsc.send(Pdu(DELIVER_SM, 0, number, DELIVERY))
            while len(smsc.of(DELIVER_SM_RESP)) < number:
                await asyncio.sleep(0)
            seconds.append(loop.time() - sent_at)
            smsc.accept(*(pdu.sequence for pdu in smsc.received[seen:] if pdu.command == SUBMIT_SM))
        # The median, for a busy machine.
        assert sorted(seconds)[20] < 0.1
        session.abort()


async def test_answers_do_not_pile_up_for_an_smsc_that_sends_and_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to its deliveries fill memory up to a limit; then nothing more is read, and the link is dropped."""
    limit = 65_536
    ended = asyncio.Event()
    monkeypatch.setattr(link, "WRITE_BUFFER_BYTES", limit)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bind = await reader.readexactly(16)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(encode_pdu(BIND_TRANSCEIVER | RESPONSE, 0, int.from_bytes(bind[12:]), b"mute\0"))
        many = encode_pdu(DELIVER_SM, 0, 5, DELIVERY) * 1_000
        try:
            while True:
                writer.write(many)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            ended.set()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(serve, sock=listening)
    port = listening.getsockname()[1]
    config = BindConfig(host="127.0.0.1", port=port, system_id="client", deliveries_limit=10, enquire_link_seconds=1.0)
    listener = RecordingListener()
    session = await connect(config, listener)
    assert session._transport is not None
    # Else the system takes some MB of answers, which a busy machine does not write before the link is dropped.
    session._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    highest = 0
    async with asyncio.timeout(60):
        while not session.closed.is_set():
            if session._transport is not None:
                highest = max(highest, session._transport.get_write_buffer_size())
            await asyncio.sleep(0.01)
    # Above twice the limit there may be the answers to one read, of up to 256 KiB.
    assert 2 * limit < highest < 2 * limit + 262_144
    assert "2 enquire_links" in str(listener.errors[-1])
    server.close()
    async with asyncio.timeout(60):
        await ended.wait()
