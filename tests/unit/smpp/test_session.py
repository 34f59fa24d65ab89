"""The submits of a session on a transport in memory: window, responses, rate, deadlines."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.smpp.codec.command_status import RINVDSTADR, RMSGQFUL, RTHROTTLED
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.pdu import (
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    Pdu,
)
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.codec.tlv import CONGESTION_STATE, encode_tlvs
from broadcast.smpp.errors import ResponseTimeoutError
from tests.support.smpp import TEMPLATE, SessionInMemory, split_pdus
from tests.support.waiting import eventually


async def test_a_window_is_one_write_and_never_exceeded() -> None:
    memory = SessionInMemory()
    assert memory.submit(9) == 5
    assert len(memory.transport.pieces) == 1
    assert [pdu.command for pdu in memory.transport.take()] == [SUBMIT_SM] * 5
    assert (memory.session.room, memory.submit(4, 5), memory.transport.pieces) == (0, 0, [])
    memory.accept(1, 2)
    assert memory.session.room == 2
    assert memory.submit(4, 5) == 2


async def test_one_buffer_of_responses_is_one_call_then_room() -> None:
    memory = SessionInMemory()
    memory.submit(5)
    memory.accept(3, 1, 5)
    assert memory.listener.calls == ["responses", "room"]
    assert memory.listener.responses == [(2, 0, b"id3", 3), (0, 0, b"id1", 1), (4, 0, b"id5", 5)]


async def test_each_request_is_registered_before_it_is_written() -> None:
    """An SMSC may have answered before the write returns."""
    memory = SessionInMemory(enquire_link_seconds=1.0)

    def answer(data: bytes | bytearray | memoryview) -> None:
        for command, _, sequence, _ in split_pdus(bytes(data)):
            memory.receive(Pdu(command | RESPONSE, 0, sequence, b"id%d\0" % sequence))

    memory.transport.write = answer  # type: ignore[method-assign]
    memory.submit(2)
    assert memory.session.submit_many([(TEMPLATE, b"49151", 2), (TEMPLATE, b"49151", 3)]) == 2
    assert memory.listener.responses == [(token, 0, b"id%d" % (token + 1), token + 1) for token in range(4)]
    memory.pass_time(1.0)
    await memory.session.unbind(5.0)
    assert memory.session.take_unexpected() == {}
    assert (memory.session.unanswered, memory.listener.lost) == (0, [])


async def test_errors_without_body_with_body_and_from_vendors_are_answers() -> None:
    memory = SessionInMemory()
    memory.submit(4)
    memory.receive(
        Pdu(SUBMIT_SM_RESP, RINVDSTADR, 1, b""),
        Pdu(SUBMIT_SM_RESP, 0x0411, 2, b"\0"),
        Pdu(SUBMIT_SM_RESP, 0x45, 3, b"id\0"),
        Pdu(GENERIC_NACK, 0x02, 4, b""),
    )
    assert sorted(memory.listener.responses) == [
        (0, RINVDSTADR, b"", 1),
        (1, 0x411, b"", 2),
        (2, 0x45, b"id", 3),
        (3, 2, b"", 4),
    ]


async def test_a_nack_with_status_zero_is_no_acceptance() -> None:
    memory = SessionInMemory()
    memory.submit(1)
    memory.receive(Pdu(GENERIC_NACK, 0, 1, b""), Pdu(GENERIC_NACK, 3, 0, b""))
    assert [response[1] for response in memory.listener.responses] == [0xFF]


async def test_overdue_and_overtaken_is_unknown_and_a_late_response_is_reported_once() -> None:
    memory = SessionInMemory()
    memory.submit(3)
    memory.pass_time(0.1)
    memory.accept(2)
    memory.pass_time(9.9)
    assert memory.listener.lost == []
    memory.pass_time(0.2)
    assert memory.listener.lost == [0]
    assert isinstance(memory.listener.errors[0], ResponseTimeoutError)
    assert (memory.session.room, memory.session.unanswered) == (3, 2)
    memory.accept(1)
    memory.accept(1)
    assert memory.listener.late == [(0, 0, b"id1", 1)]
    assert (memory.session.room, memory.session.unanswered) == (4, 1)
    assert [token for token, *_ in memory.listener.responses] == [1]
    memory.session.abort()
    await memory.session.closed.wait()
    assert memory.listener.lost == [0, 2]


async def test_throttling_pauses_the_bind_and_cuts_its_rate() -> None:
    memory = SessionInMemory(rate_per_second=200.0, window=12)
    memory.submit(10)
    memory.receive(*(Pdu(SUBMIT_SM_RESP, RTHROTTLED, each, b"") for each in range(1, 11)))
    assert memory.session.room == 0
    assert memory.session.pacing.rate == 100.0
    assert "room" not in memory.listener.calls
    memory.now += 0.07
    assert memory.session.pacing.room(memory.now) == 0
    memory.now += 0.1
    assert memory.session.room > 0
    await eventually(lambda: memory.listener.calls[-1] == "room")


@pytest.mark.parametrize(("numbers", "slowed"), [(19, False), (1, False), (40, True)])
async def test_full_queues_slow_the_bind_only_when_many_different_numbers_say_so(numbers: int, slowed: bool) -> None:
    memory = SessionInMemory(rate_per_second=1000.0, window=40, number_of=lambda token: token % numbers)
    memory.submit(40)
    memory.receive(*(Pdu(SUBMIT_SM_RESP, RMSGQFUL, each, b"") for each in range(1, 41)))
    assert memory.session.pacing.cuts == int(slowed)
    assert [status for _, status, *_ in memory.listener.responses] == [RMSGQFUL] * 40


async def test_full_queues_never_slow_a_bind_that_does_not_know_the_numbers() -> None:
    memory = SessionInMemory(rate_per_second=1000.0, window=40)
    memory.submit(40)
    memory.receive(*(Pdu(SUBMIT_SM_RESP, RMSGQFUL, each, b"") for each in range(1, 41)))
    assert memory.session.pacing.cuts == 0


async def test_the_rate_counts_each_segment_of_a_long_message() -> None:
    memory = SessionInMemory(rate_per_second=120.0, window=100)
    parts = [SubmitTemplate(source=b"T", text=text, esm_class=0x40) for text in (b"one", b"two", b"three")]
    items = [(template, b"49151", number) for number in range(40) for template in parts]
    assert memory.session.submit_many(items, group=3) == 6
    assert memory.session.pacing.room(memory.now) == 0


async def test_room_comes_back_by_the_clock_when_it_was_the_rate_that_ended_it() -> None:
    memory = SessionInMemory(rate_per_second=50.0, window=100)
    assert memory.submit(60) == 2
    assert memory.submit(60) == 0
    memory.now += 0.1
    await eventually(lambda: memory.listener.calls)
    assert memory.listener.calls == ["room"]


async def test_a_rounding_error_in_the_rate_does_not_sleep_for_ever() -> None:
    memory = SessionInMemory(rate_per_second=50.0, window=100)
    memory.submit(2)
    memory.session.pacing._tokens = 1.0 - 1e-16 * 2
    assert memory.submit(1) == 0
    memory.now += 1e-9
    await eventually(lambda: memory.listener.calls)
    assert memory.listener.calls == ["room"]


async def test_nothing_to_submit_calls_no_listener() -> None:
    memory = SessionInMemory()
    assert memory.submit(0) == memory.session.submit_many([]) == 0
    # That nothing happens is no event to wait for: the shortest timer is 1 ms.
    await asyncio.sleep(0.02)
    assert memory.listener.calls == []


async def test_a_bad_destination_takes_nothing_and_no_place() -> None:
    memory = SessionInMemory()
    with pytest.raises(PduError):
        memory.session.submit(TEMPLATE, [b"49151", b""], [0, 1])
    with pytest.raises(PduError):
        memory.session.submit_many([(TEMPLATE, b"49151", 0), (TEMPLATE, b"1" * 30, 1)])
    assert (memory.session.room, memory.transport.pieces) == (5, [])


async def test_segments_of_a_message_go_whole_in_order_in_one_write() -> None:
    memory = SessionInMemory()
    first, second = (SubmitTemplate(source=b"T", text=text, esm_class=0x40) for text in (b"one", b"two"))
    items = [(template, b"49151", number) for number in range(4) for template in (first, second)]
    assert memory.session.submit_many(items, group=2) == 4
    assert len(memory.transport.pieces) == 1
    assert [pdu.body[-3:] for pdu in memory.transport.take()] == [b"one", b"two"] * 2
    assert memory.session.submit_many(items[4:], group=2) == 0
    with pytest.raises(ValueError, match="raise the window"):
        memory.session.submit_many(items, group=8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_token_is_reported_exactly_once(data: st.DataObject) -> None:
    async def run() -> None:
        memory = SessionInMemory(window=8, enquire_link_seconds=1e9, inactivity_seconds=1e9)
        given_out, unanswered = 0, list[int]()
        for _ in range(data.draw(st.integers(1, 20))):
            match data.draw(st.sampled_from(["submit", "answer", "refuse", "repeat", "wait"])):
                case "submit":
                    given_out += memory.submit(data.draw(st.integers(1, 10)), given_out)
                    unanswered += [pdu.sequence for pdu in memory.transport.take()]
                    assert memory.session.unanswered <= 8
                case "answer" | "refuse" as how if unanswered:
                    some = data.draw(st.lists(st.sampled_from(unanswered), unique=True))
                    status = 0 if how == "answer" else data.draw(st.sampled_from([0x0B, 0x401, 0x45]))
                    memory.receive(*(Pdu(SUBMIT_SM_RESP, status, each, b"") for each in some))
                    unanswered = [each for each in unanswered if each not in some]
                case "repeat" if given_out:
                    memory.accept(data.draw(st.integers(given_out + 1, given_out + 50)))
                case "wait":
                    memory.pass_time(data.draw(st.sampled_from([1.0, 6.0, 11.0])))
        memory.session.abort()
        await memory.session.closed.wait()
        reported = Counter(token for token, *_ in memory.listener.responses) + Counter(memory.listener.lost)
        assert reported == Counter(range(given_out))
        assert len({token for token, *_ in memory.listener.late}) == len(memory.listener.late)

    asyncio.run(run())


@pytest.mark.parametrize(("obeyed", "cuts"), [(True, 1), (False, 0)])
async def test_the_rate_follows_congestion_state_unless_the_account_says_no(obeyed: bool, cuts: int) -> None:
    memory = SessionInMemory(window=64, rate_per_second=1000.0, congestion_state=obeyed)
    assert memory.submit(4) == 4
    memory.receive(Pdu(SUBMIT_SM_RESP, 0, 1, b"id1\0" + encode_tlvs([(CONGESTION_STATE, b"\x5f")])))
    assert memory.session.pacing.cuts == cuts
