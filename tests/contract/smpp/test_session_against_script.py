"""A session on real TCP against an SMSC that answers by a script: out of order, late, never."""

from dataclasses import replace
from typing import Unpack

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.pdu import SUBMIT_SM
from broadcast.smpp.errors import MuteSessionError, ResponseTimeoutError
from broadcast.smpp.session import Session
from tests.support.scripted_smsc import ScriptedSmsc, scripted_smsc
from tests.support.smpp import TEMPLATE, BindChanges, RecordingListener
from tests.support.waiting import eventually


async def bind(smsc: ScriptedSmsc, listener: RecordingListener, **changes: Unpack[BindChanges]) -> Session[int]:
    config = BindConfig(host="127.0.0.1", port=smsc.port, system_id="client", window=10, response_timeout_seconds=0.3)
    return await connect(replace(config, **changes), listener)


def submit(session: Session[int], tokens: range) -> int:
    return session.submit(TEMPLATE, [b"4915%08d" % token for token in tokens], tokens)


async def test_late_answers_are_reported_as_late_and_once_and_keep_their_places_until_then() -> None:
    listener = RecordingListener()
    async with scripted_smsc() as smsc:
        session = await bind(smsc, listener)
        assert submit(session, range(4)) == 4
        sequences = [pdu.sequence for pdu in await smsc.until_received(4) if pdu.command == SUBMIT_SM]
        smsc.accept(sequences[3])
        await eventually(lambda: listener.lost)
        assert listener.lost == [0, 1, 2]
        assert isinstance(listener.errors[0], ResponseTimeoutError)
        assert (session.room, session.unanswered) == (7, 3)
        smsc.accept(*sequences[:3], *sequences[:3])
        await eventually(lambda: listener.late)
        assert [token for token, *_ in listener.late] == [0, 1, 2]
        assert (session.room, session.unanswered) == (10, 0)
        assert session.take_unexpected() == {"response": 3}
        session.abort()


async def test_responses_out_of_order_each_find_their_submit() -> None:
    listener = RecordingListener()
    async with scripted_smsc() as smsc:
        session = await bind(smsc, listener)
        submit(session, range(10))
        sequences = [pdu.sequence for pdu in await smsc.until_received(10)]
        smsc.accept(*sequences[::-2], *sequences[::2])
        await eventually(lambda: len(listener.responses) == 10)
        assert {token: sequence for token, _, _, sequence in listener.responses} == dict(
            zip(range(10), sequences, strict=True)
        )
        session.abort()


async def test_the_smsc_never_has_more_unanswered_than_the_window_whatever_our_clock_says() -> None:
    listener = RecordingListener()
    async with scripted_smsc() as smsc:
        session = await bind(smsc, listener)

        def settled() -> bool:
            return len(listener.responses) + len(listener.lost) == len(smsc.received)

        for _ in range(10):
            if session.closed.is_set():
                break
            written = len(smsc.received)
            written += submit(session, range(written, written + session.room))
            received = await smsc.until_received(written)
            # Of each turn only the last is answered.
            smsc.accept(received[-1].sequence)
            await eventually(settled)
            assert len(smsc.received) - len(listener.responses) <= 10
        # The window is 10, and half of it may be given up.
        assert isinstance(listener.errors[-1], MuteSessionError)
        assert (len(smsc.received), len(listener.responses)) == (10, 1)
        assert sorted(listener.lost) == list(range(9))
