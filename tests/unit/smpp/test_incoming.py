"""What a session received is processed in turns: bounded, in order, and with nothing lost at the end of the link."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import DATA_SM, DELIVER_SM, ENQUIRE_LINK, SUBMIT_SM_RESP, Pdu, encode_pdu
from broadcast.smpp.codec.reader import Batch, Reader
from broadcast.smpp.errors import LinkLostError
from broadcast.smpp.incoming import TURN_PDUS, WAITING_OCTETS
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from tests.support.smpp import TEMPLATE, RecordingListener, SessionInMemory
from tests.support.waiting import eventually

# A read of 256 KiB has so many of the shortest PDUs; these have no body where one must be.
TINY = 16_384
RECEIPT = encode_message(ShortMessage(source=b"4915", destination=b"1", short_message=b"id:1 stat:DELIVRD"))


@pytest.mark.parametrize("command", [DELIVER_SM, DATA_SM, ENQUIRE_LINK, 0x21])
async def test_many_tiny_pdus_in_one_read_are_processed_in_turns_of_the_event_loop(command: int) -> None:
    memory = SessionInMemory()
    turns: list[int] = []
    memory.receive(*[Pdu(command, 0, number, b"") for number in range(1, TINY + 1)])
    for _ in range(TINY // TURN_PDUS.start + 1):
        answered = memory.transport.take()
        turns.append(max(len(answered), len(memory.listener.deliveries)))
        memory.listener.deliveries.clear()
        await asyncio.sleep(0)
    assert sum(turns) == TINY
    assert max(turns) <= TURN_PDUS.stop


async def test_the_first_places_of_a_full_window_are_filled_again_while_the_other_answers_are_read() -> None:
    memory = SessionInMemory(window=600)
    memory.submit(600)
    memory.accept(*range(1, 601))
    assert [token for token, *_ in memory.listener.responses] == list(range(300))
    assert (memory.listener.calls, memory.session.room) == (["responses", "room"], 300)
    await eventually(lambda: memory.session.room == 600)
    assert [token for token, *_ in memory.listener.responses] == list(range(600))


async def test_what_is_received_while_more_waits_comes_behind_it() -> None:
    memory = SessionInMemory(window=1_000)
    memory.submit(1_000)
    memory.accept(*range(1, 901))
    memory.accept(*range(901, 1_001))
    await eventually(lambda: len(memory.listener.responses) == 1_000)
    assert [token for token, *_ in memory.listener.responses] == list(range(1_000))


async def test_answers_that_came_before_the_end_of_the_link_are_no_unknown_outcome() -> None:
    memory = SessionInMemory(window=1_000)
    memory.submit(1_000)
    memory.accept(*range(1, 901))
    memory.session.connection_lost(ConnectionResetError("reset by peer"))
    await memory.session.closed.wait()
    assert [token for token, *_ in memory.listener.responses] == list(range(900))
    assert (memory.listener.lost, memory.listener.calls[-1]) == (list(range(900, 1_000)), "lost")


async def test_nothing_is_read_while_too_much_waits_for_its_turn() -> None:
    memory = SessionInMemory()
    read = encode_pdu(DELIVER_SM, 0, 1, b"") * (WAITING_OCTETS // 16)
    memory.session.data_received(read)
    assert memory.transport.reading
    memory.session.data_received(read)
    assert not memory.transport.reading
    await eventually(lambda: memory.transport.reading)
    await eventually(lambda: len(memory.listener.deliveries) == 2 * len(read) // 16)


async def test_a_listener_that_raises_in_a_later_turn_ends_the_link() -> None:
    class Breaking(RecordingListener):
        def on_responses(self, session: Session[int], responses: list[Response[int]]) -> None:
            super().on_responses(session, responses)
            if len(self.responses) > 300:
                raise ValueError("no memory")

    memory = SessionInMemory(listener=Breaking(), window=600)
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    memory.submit(600)
    memory.accept(*range(1, 501))
    assert not memory.transport.closed
    await memory.session.closed.wait()
    assert isinstance(memory.session.error, LinkLostError)
    assert "no memory" in str(memory.session.error)
    assert [str(each) for each in raised] == ["no memory"]
    assert memory.listener.lost == list(range(500, 600))


KINDS = ((SUBMIT_SM_RESP, b"4711\0"), (SUBMIT_SM_RESP, b""), (DELIVER_SM, RECEIPT), (DELIVER_SM, b""), (0x21, b""))


def columns(batches: list[Batch]) -> tuple[list[object], ...]:
    kinds = ("sequences", "statuses", "ids", "deliveries", "others")
    return tuple([each for batch in batches for each in getattr(batch, kind)] for kind in kinds)


@given(
    runs=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 90)), max_size=8),
    most=st.integers(1, 70),
    cut=st.integers(0, 40),
)
def test_a_read_in_batches_has_the_same_pdus_in_the_same_order(
    runs: list[tuple[tuple[int, bytes], int]], most: int, cut: int
) -> None:
    numbers = iter(range(1, 1_000))
    data = b"".join(encode_pdu(kind[0], 0, next(numbers), kind[1]) for kind, count in runs for _ in range(count))
    data = data[: max(0, len(data) - cut)]
    whole, reader = Reader().feed(data), Reader()
    reader.add(data)
    batches = [reader.read(most)]
    while reader.has_more:
        batches.append(reader.read(most))
    assert columns(batches) == columns([whole])
    assert all(len(each.sequences) + len(each.deliveries) + len(each.others) <= most for each in batches)


async def test_turns_are_shared_with_other_sessions() -> None:
    flooded, other = SessionInMemory(), SessionInMemory()
    flooded.receive(*[Pdu(DELIVER_SM, 0, number, b"") for number in range(1, TINY + 1)])
    other.session.submit(TEMPLATE, [b"4915"], [7])
    other.accept(1)
    assert other.listener.responses
    assert len(flooded.listener.deliveries) <= TURN_PDUS.stop
