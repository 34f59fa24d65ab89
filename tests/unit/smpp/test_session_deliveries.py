"""The deliveries of a session on a transport in memory, and their answers."""

from broadcast.smpp.codec.command_status import RINVCMDLEN, RX_T_APPN
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    DATA_SM,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    Pdu,
)
from tests.support.smpp import SessionInMemory


async def test_deliveries_are_answered_when_the_caller_says_so_and_by_kind() -> None:
    memory = SessionInMemory()
    body = encode_message(ShortMessage(source=b"4915", destination=b"TOCSIN", esm_class=4, short_message=b"id:1"))
    data = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0"
    memory.receive(Pdu(DELIVER_SM, 0, 1, body), Pdu(DATA_SM, 0, 2, data), Pdu(DELIVER_SM, 0, 3, body))
    assert memory.listener.calls == ["deliveries"]
    assert [each.sequence for each in memory.listener.deliveries] == [1, 2, 3]
    assert memory.transport.take() == []
    memory.session.answer([1, 2, 3])
    answered = memory.transport.take()
    assert sorted((pdu.sequence, pdu.command) for pdu in answered) == [
        (1, DELIVER_SM_RESP),
        (2, DATA_SM_RESP),
        (3, DELIVER_SM_RESP),
    ]


async def test_receipts_by_data_sm_are_read_as_fast_as_those_by_deliver_sm() -> None:
    memory = SessionInMemory(deliveries_limit=50_000)
    data = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0"
    await memory.receive_many(*[Pdu(DATA_SM, 0, number, data) for number in range(1, 30_001)])
    assert memory.transport.reading
    assert len(memory.listener.deliveries) == 30_000
    assert memory.session.take_unexpected() == {}


async def test_too_many_unanswered_deliveries_are_sent_back() -> None:
    memory = SessionInMemory(deliveries_limit=2)
    body = encode_message(ShortMessage(source=b"4915", short_message=b"hi"))
    memory.receive(*(Pdu(DELIVER_SM, 0, number, body) for number in (1, 2, 3)))
    assert [each.sequence for each in memory.listener.deliveries] == [1, 2]
    assert memory.transport.take() == [Pdu(DELIVER_SM_RESP, RX_T_APPN, 3, b"\0")]
    memory.session.answer([1])
    memory.receive(Pdu(DELIVER_SM, 0, 4, body), Pdu(DELIVER_SM, 0, 5, body))
    assert [each.sequence for each in memory.listener.deliveries] == [1, 2, 4]


async def test_an_unreadable_delivery_is_answered_when_it_is_stored_and_by_its_own_kind() -> None:
    memory = SessionInMemory()
    memory.receive(Pdu(DELIVER_SM, 0, 1, b"odd"), Pdu(DATA_SM, 0, 2, b"odd"))
    assert [each.fault is not None for each in memory.listener.deliveries] == [True, True]
    assert memory.transport.take() == []
    memory.session.answer([1, 2], RINVCMDLEN)
    assert sorted((pdu.sequence, pdu.command, pdu.status) for pdu in memory.transport.take()) == [
        (1, DELIVER_SM_RESP, RINVCMDLEN),
        (2, DATA_SM_RESP, RINVCMDLEN),
    ]


async def test_large_deliveries_without_an_answer_are_counted_in_octets_and_sent_back_above_the_limit() -> None:
    memory = SessionInMemory(deliveries_octets_limit=150_000)
    small = encode_message(ShortMessage(source=b"4915", short_message=b"hi"))
    large = encode_message(ShortMessage(source=b"4915", optional=b"\x04\x24\xea\x60" + b"x" * 60_000))
    # The SMSC uses one sequence number twice.
    memory.receive(*(Pdu(DELIVER_SM, 0, number, large) for number in (1, 1, 2)), Pdu(DELIVER_SM, 0, 3, small))
    assert [each.sequence for each in memory.listener.deliveries] == [1, 1, 3]
    assert memory.transport.take() == [Pdu(DELIVER_SM_RESP, RX_T_APPN, 2, b"\0")]
    memory.session.answer([1])
    memory.transport.take()
    memory.receive(Pdu(DELIVER_SM, 0, 4, large), Pdu(DELIVER_SM, 0, 5, large))
    assert memory.transport.take() == [Pdu(DELIVER_SM_RESP, RX_T_APPN, 5, b"\0")]
    memory.session.answer([1, 3, 4])
    memory.transport.take()
    memory.receive(Pdu(DELIVER_SM, 0, 6, large), Pdu(DELIVER_SM, 0, 7, large))
    assert memory.transport.take() == []
