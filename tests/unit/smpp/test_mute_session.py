"""A session whose SMSC does not answer submits: given up, closed, reported; never more than its window."""

import pytest

from broadcast.smpp.codec.pdu import ENQUIRE_LINK, ENQUIRE_LINK_RESP, Pdu
from broadcast.smpp.errors import LinkLostError, MuteSessionError, ResponseTimeoutError
from tests.support.smpp import SessionInMemory


def pass_seconds(memory: SessionInMemory, seconds: int) -> list[int]:
    """Tick each second, with an SMSC that answers each enquire_link; the sequence numbers of what else was written."""
    written: list[int] = []
    for _ in range(seconds):
        memory.pass_time(1.0)
        for pdu in memory.transport.take():
            if pdu.command == ENQUIRE_LINK:
                memory.receive(Pdu(ENQUIRE_LINK_RESP, 0, pdu.sequence, b""))
            else:
                written.append(pdu.sequence)
    return written


async def test_a_mute_session_is_closed_after_two_timeouts_with_an_error_of_its_own() -> None:
    memory = SessionInMemory()
    memory.submit(5)
    pass_seconds(memory, 19)
    assert (memory.listener.errors, memory.session.room) == ([], 0)
    pass_seconds(memory, 1)
    await memory.session.closed.wait()
    (error,) = memory.listener.errors
    assert isinstance(error, MuteSessionError)
    assert isinstance(error, LinkLostError)
    assert (error.pending, error.given_up, error.seconds) == (5, 0, 20.0)
    assert str(error) == "mute session: no submit answered for 20 s"
    assert memory.listener.lost == [0, 1, 2, 3, 4]


async def test_a_session_is_mute_from_the_first_unanswered_submit_on_not_from_the_last_answer() -> None:
    memory = SessionInMemory()
    memory.submit(1)
    memory.accept(1)
    pass_seconds(memory, 500)
    memory.submit(1, 1)
    (sequence,) = pass_seconds(memory, 19)
    assert memory.listener.errors == []
    memory.accept(sequence)
    assert [token for token, *_ in memory.listener.responses] == [0, 1]
    pass_seconds(memory, 500)
    assert memory.listener.errors == []


async def test_a_slow_smsc_that_answers_in_order_is_not_mute_and_makes_no_unknown() -> None:
    memory = SessionInMemory(window=10)
    written = 0
    unanswered: list[int] = []
    for _ in range(100):
        written += memory.submit(memory.session.room, written)
        unanswered += pass_seconds(memory, 19)
        assert memory.session.unanswered == len(unanswered) == 10
        memory.accept(unanswered.pop(0))
    assert memory.listener.errors == []
    assert len(memory.listener.responses) == 100


async def test_more_than_a_quarter_of_a_window_given_up_closes_the_session() -> None:
    memory = SessionInMemory(window=64, enquire_link_seconds=1e9, inactivity_seconds=1e9)
    memory.submit(18)
    memory.pass_time(0.1)
    memory.accept(18)
    memory.accept(17)
    memory.pass_time(10.1)
    assert (len(memory.listener.lost), memory.session.unanswered) == (16, 16)
    assert not memory.session.closed.is_set()
    assert isinstance(memory.listener.errors[-1], ResponseTimeoutError)
    memory.submit(2, 18)
    memory.pass_time(0.1)
    memory.accept(20)
    memory.pass_time(10.1)
    await memory.session.closed.wait()
    error = memory.listener.errors[-1]
    assert isinstance(error, MuteSessionError)
    assert error.given_up == 17
    assert "more than 16 of 64 submits unanswered for over 10 s" in str(error)
    assert memory.listener.lost == [*range(16), 18]


async def test_a_session_with_no_room_for_a_long_message_beside_what_was_given_up_is_closed() -> None:
    memory = SessionInMemory(window=5)
    memory.submit(3)
    memory.pass_time(0.1)
    memory.accept(3)
    memory.pass_time(10.1)
    assert memory.listener.lost == [0, 1]
    memory.session.await_room(3)
    memory.pass_time(0.1)
    assert not memory.transport.closed
    memory.session.await_room(4)
    memory.pass_time(0.1)
    await memory.session.closed.wait()
    assert isinstance(memory.listener.errors[-1], MuteSessionError)
    assert memory.listener.lost == [0, 1]


@pytest.mark.parametrize("window", [1, 2, 5, 10, 64])
async def test_one_answer_after_the_other_lost_never_leaves_a_session_without_room_for_ever(window: int) -> None:
    memory = SessionInMemory(window=window, enquire_link_seconds=1e9, inactivity_seconds=1e9)
    for turn in range(window + 1):
        if memory.session.closed.is_set() or memory.transport.closed:
            break
        # The first is never answered, the last of the window always.
        taken = memory.submit(window, turn * window)
        assert taken == window - turn
        pdus = memory.transport.take()
        memory.pass_time(0.1)
        memory.accept(*(pdu.sequence for pdu in pdus[1:]))
        memory.pass_time(10.1)
        memory.pass_time(10.1)
    await memory.session.closed.wait()
    assert isinstance(memory.listener.errors[-1], MuteSessionError)
    assert memory.listener.late == []
