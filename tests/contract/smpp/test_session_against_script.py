"""A session on real TCP against an SMSC that answers by a script: out of order, late, never."""

import asyncio
from dataclasses import replace
from typing import Unpack

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.command_status import RTHROTTLED
from broadcast.smpp.codec.pdu import SUBMIT_SM, SUBMIT_SM_RESP, Pdu
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


async def test_a_few_slow_responses_do_not_cap_the_throughput() -> None:
    # 5 % of the responses take 0.2 s, the others 2 ms: with a window of 100 the mean allows 100 / 11.9 ms = 8,400/s.
    listener = RecordingListener()
    async with scripted_smsc() as smsc:
        session = await bind(smsc, listener, window=100, response_timeout_seconds=30.0)
        loop = asyncio.get_running_loop()
        seen = 0

        def answer_some() -> None:
            nonlocal seen
            new = [pdu.sequence for pdu in smsc.received[seen:]]
            seen += len(new)
            slow = {sequence for sequence in new if sequence % 20 == 0}
            loop.call_later(0.002, smsc.accept, *(sequence for sequence in new if sequence not in slow))
            loop.call_later(0.2, smsc.accept, *slow)

        began = loop.time()
        written = 0
        while len(listener.responses) < 4_000:
            written += submit(session, range(written, written + session.room))
            answer_some()
            await asyncio.sleep(0.001)
        # A quarter of that, for a busy machine: waiting for each slow response in turn allows 100 / 0.2 s = 500/s.
        assert 4_000 / (loop.time() - began) >= 2_000
        assert listener.lost == []
        session.abort()


async def test_a_throttled_bind_that_reconnects_goes_on_at_once() -> None:
    listener = RecordingListener()
    async with scripted_smsc() as smsc:
        session = await bind(smsc, listener)
        for _ in range(5):
            session.submit(TEMPLATE, [b"49151"] * 10, range(10))
            smsc.send(*(Pdu(SUBMIT_SM_RESP, RTHROTTLED, pdu.sequence, b"") for pdu in smsc.received))
            await asyncio.sleep(0.05)
        assert session.room == 0
        assert session.pacing.cuts >= 1
        smsc.disconnect()
        await session.closed.wait()
        again = await bind(smsc, listener)
        assert (again.room, again.pacing.rate) == (10, None)
        again.abort()


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
