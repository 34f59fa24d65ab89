"""When the simulator sends its answers: its delay counts from the moment that a submit came in."""

from types import SimpleNamespace

import pytest

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.pdu_writer import PduWriter
from tests.support.smpp import MemoryTransport, SessionInMemory


@pytest.mark.parametrize("singly", [False, True])
async def test_the_delay_of_an_answer_counts_from_when_its_submit_came_not_from_when_it_was_read(singly: bool) -> None:
    now = [100.0]
    account = SimpleNamespace(watches_reading=False, behaviour=Behaviour().change({"delay_ms": 20.0}))
    transport = MemoryTransport(SessionInMemory().session)
    writer = PduWriter(transport, account, lambda: now[0], lambda _: None)
    writer.received_at = now[0]
    # Reading a thousand submits takes so long.
    now[0] += 0.015
    if singly:
        writer.add_delayed(b"answer", 0.020)
    else:
        writer.add_responses(b"answer", 1)
    writer.flush()
    assert transport.pieces == []
    now[0] = 100.020001
    writer.send_due()
    assert transport.pieces == [b"answer"]
    writer.discard()
