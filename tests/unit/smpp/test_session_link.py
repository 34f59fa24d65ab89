"""The link of a session on a transport in memory: enquire_link, unbind, its end, PDUs that were not expected."""

import asyncio

import pytest

from broadcast.smpp import link
from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.command_status import RINVBNDSTS
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    ALERT_NOTIFICATION,
    DELIVER_SM,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    LAST,
    OUTBIND,
    SUBMIT_SM_RESP,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    encode_pdu,
)
from broadcast.smpp.errors import LinkLostError
from broadcast.smpp.session import Session
from tests.support.smpp import RecordingListener, SessionInMemory
from tests.support.waiting import eventually


async def test_lost_link_reports_the_unanswered_once_and_takes_no_more() -> None:
    memory = SessionInMemory()
    memory.submit(3)
    memory.accept(2)
    memory.session.connection_lost(ConnectionResetError("reset by peer"))
    assert (memory.listener.lost, memory.listener.calls.count("lost")) == ([0, 2], 1)
    assert "reset by peer" in str(memory.listener.errors[0])
    assert (memory.session.room, memory.submit(1)) == (0, 0)


async def test_not_bound_at_the_smsc_ends_the_session() -> None:
    memory = SessionInMemory()
    memory.submit(2)
    memory.receive(Pdu(SUBMIT_SM_RESP, RINVBNDSTS, 1, b""))
    await memory.session.closed.wait()
    assert [response[1] for response in memory.listener.responses] == [RINVBNDSTS]
    assert memory.listener.lost == [1]


async def test_enquire_link_both_ways_and_two_missed_drop_it_even_while_busy() -> None:
    memory = SessionInMemory(enquire_link_seconds=5.0, response_timeout_seconds=100.0)
    memory.receive(Pdu(ENQUIRE_LINK, 0, 77, b""))
    assert memory.transport.take() == [Pdu(ENQUIRE_LINK_RESP, 0, 77, b"")]
    seconds: list[float] = []
    memory.session.on_enquire_link_answered = seconds.append
    memory.pass_time(5.0)
    (enquiry,) = memory.transport.take()
    memory.now += 0.25
    memory.receive(Pdu(ENQUIRE_LINK_RESP, 0, enquiry.sequence, b""))
    assert seconds == [0.25]
    for _ in range(2):
        memory.pass_time(5.0)
        memory.submit(1)
        memory.accept(memory.transport.take()[-1].sequence)
    assert not memory.transport.closed
    memory.pass_time(5.0)
    await memory.session.closed.wait()
    assert "2 enquire_links" in str(memory.listener.errors[0])


async def test_silence_ends_it() -> None:
    memory = SessionInMemory(enquire_link_seconds=1000.0, inactivity_seconds=30.0)
    memory.pass_time(29.0)
    assert not memory.transport.closed
    memory.pass_time(2.0)
    await memory.session.closed.wait()
    assert "nothing received" in str(memory.listener.errors[0])


async def test_unbind_by_the_smsc_is_answered_at_once_when_nothing_is_unanswered() -> None:
    memory = SessionInMemory()
    memory.receive(Pdu(UNBIND, 0, 9, b""))
    assert memory.transport.take() == [Pdu(UNBIND_RESP, 0, 9, b"")]
    assert memory.session.room == 0
    memory.pass_time(1.1)
    await memory.session.closed.wait()
    assert "unbound by the SMSC" in str(memory.session.error)


async def test_after_an_unbind_by_the_smsc_outstanding_answers_are_waited_for_before_it_is_answered() -> None:
    memory = SessionInMemory()
    memory.submit(3)
    memory.transport.take()
    memory.receive(Pdu(UNBIND, 0, 9, b""))
    assert memory.session.room == 0
    for sequence in (1, 2):
        memory.pass_time(1.5)
        memory.accept(sequence)
    assert memory.transport.take() == []
    memory.accept(3)
    assert memory.transport.take() == [Pdu(UNBIND_RESP, 0, 9, b"")]
    memory.pass_time(1.1)
    await memory.session.closed.wait()
    assert memory.listener.lost == []
    assert [token for token, *_ in memory.listener.responses] == [0, 1, 2]


async def test_an_unbind_by_the_smsc_is_answered_in_time_though_answers_do_not_come() -> None:
    memory = SessionInMemory()
    memory.submit(2)
    memory.transport.take()
    memory.receive(Pdu(UNBIND, 0, 9, b""))
    memory.pass_time(4.9)
    assert memory.transport.take() == []
    memory.pass_time(0.1)
    assert memory.transport.take() == [Pdu(UNBIND_RESP, 0, 9, b"")]
    memory.accept(1)
    memory.pass_time(1.1)
    await memory.session.closed.wait()
    assert memory.listener.lost == [1]
    assert [token for token, *_ in memory.listener.responses] == [0]


async def test_an_outbind_grants_nothing_new_and_the_session_goes_on() -> None:
    memory = SessionInMemory()
    memory.receive(Pdu(OUTBIND, 0, 3, b"smsc\0secret\0"))
    assert memory.transport.take() == [Pdu(GENERIC_NACK, RINVBNDSTS, 3, b"")]
    assert memory.submit(1) == 1
    assert memory.session.take_unexpected() == {"request": 1}


async def test_responses_are_processed_before_deliveries_of_the_same_buffer() -> None:
    memory = SessionInMemory()
    memory.submit(2)
    delivery = Pdu(DELIVER_SM, 0, 5, b"\0\0\x0049151\0\0\x001\0\0\0\0\0\0\0\0\0\0\x02hi")
    memory.receive(delivery, Pdu(SUBMIT_SM_RESP, 0, 1, b"a\0"), delivery, Pdu(SUBMIT_SM_RESP, 0, 2, b"b\0"))
    assert memory.listener.calls == ["responses", "deliveries", "room"]
    assert (len(memory.listener.responses), len(memory.listener.deliveries)) == (2, 2)


async def test_our_unbind_waits_for_the_answers() -> None:
    memory = SessionInMemory()
    memory.submit(1)
    memory.transport.take()
    unbinding = asyncio.create_task(memory.session.unbind(5.0))
    await asyncio.sleep(0)
    assert (memory.session.room, memory.transport.take()) == (0, [])
    memory.accept(1)
    await eventually(lambda: memory.transport.pieces)
    (pdu,) = memory.transport.take()
    assert pdu.command == UNBIND
    memory.receive(Pdu(UNBIND_RESP, 0, pdu.sequence, b""))
    await unbinding
    assert memory.listener.lost == []


async def test_our_unbind_gives_up_within_its_budget() -> None:
    memory = SessionInMemory()
    memory.submit(2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await memory.session.unbind(0.1)
    assert loop.time() - started < 10.0
    assert memory.listener.lost == [0, 1]


async def test_odd_requests_are_refused_and_odd_responses_passed_over() -> None:
    memory = SessionInMemory()
    memory.receive(Pdu(0x21, 0, 5, b"x"), Pdu(ALERT_NOTIFICATION, 0, 6, b""), Pdu(0x80010200, 0, 7, b""))
    assert memory.transport.take() == [Pdu(GENERIC_NACK, 3, 5, b"")]
    memory.receive(Pdu(SUBMIT_SM_RESP, 0, 4711, b"who\0"))
    assert memory.listener.responses == []


async def test_nonsense_on_the_wire_ends_the_link_after_what_was_good() -> None:
    memory = SessionInMemory()
    memory.submit(2)
    memory.transport.take()
    memory.session.data_received(encode_pdu(SUBMIT_SM_RESP, 0, 1, b"a\0") + b"HTTP/1.1 400 Bad Request")
    await memory.session.closed.wait()
    assert [token for token, *_ in memory.listener.responses] == [0]
    assert memory.listener.lost == [1]
    assert memory.transport.take() == [Pdu(GENERIC_NACK, 2, 0, b"")]


async def test_sequences_wrap_and_enquire_link_shares_the_counter() -> None:
    memory = SessionInMemory(start=LAST - 1, enquire_link_seconds=1.0)
    memory.submit(2)
    memory.pass_time(1.0)
    memory.submit(2, 2)
    assert [pdu.sequence for pdu in memory.transport.take()] == [LAST - 1, LAST, 1, 2, 3]
    memory.accept(LAST, 3, 2, LAST - 1)
    assert [token for token, *_ in memory.listener.responses] == [1, 3, 2, 0]


async def test_tcp_that_is_full_takes_no_more() -> None:
    memory = SessionInMemory()
    memory.session.pause_writing()
    assert memory.submit(1) == 0
    memory.session.resume_writing()
    assert memory.listener.calls == ["room"]
    assert memory.submit(1) == 1


async def test_start_on_a_link_that_has_ended_says_so() -> None:
    session: Session[int] = Session(BindConfig(host="h", port=1, system_id="x"), RecordingListener(), clock=lambda: 0.0)
    session.connection_lost(None)
    with pytest.raises(LinkLostError):
        session.start(b"")


async def test_what_nothing_asked_for_is_counted_by_kind() -> None:
    memory = SessionInMemory()
    memory.receive(
        Pdu(SUBMIT_SM_RESP, 0, 4711, b"id\0"),
        Pdu(ENQUIRE_LINK_RESP, 0, 4712, b""),
        Pdu(0x21, 0, 9, b"submit_multi"),
    )
    assert memory.session.take_unexpected() == {"response": 2, "request": 1}
    assert memory.session.take_unexpected() == {}


async def test_submits_answered_by_generic_nacks_are_no_flood_and_nacks_of_nothing_are() -> None:
    memory = SessionInMemory(window=30_000)
    memory.submit(30_000)
    await memory.receive_many(*[Pdu(GENERIC_NACK, 0x58, number, b"") for number in range(1, 30_001)])
    assert memory.transport.reading
    assert len(memory.listener.responses) == 30_000
    await memory.receive_many(*[Pdu(GENERIC_NACK, 0x58, number, b"") for number in range(1, 30_001)])
    assert not memory.transport.reading


async def test_an_smsc_that_reads_nothing_is_read_no_more_until_it_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "WRITE_BUFFER_BYTES", 100)
    memory = SessionInMemory(deliveries_limit=1)
    deliveries = [Pdu(DELIVER_SM, 0, number, encode_message(ShortMessage(source=b"4915"))) for number in range(1, 11)]
    memory.session.pause_writing()
    memory.receive(*deliveries)
    assert memory.transport.reading, "9 answers of 17 octets"
    memory.receive(*deliveries)
    assert not memory.transport.reading
    memory.transport.take()
    memory.session.resume_writing()
    assert memory.transport.reading
    await memory.receive_many(*[Pdu(ENQUIRE_LINK, 0, number, b"") for number in range(1, 10_001)])
    assert not memory.transport.reading
    memory.session.pause_writing()
    memory.session.resume_writing()
    assert not memory.transport.reading, "a flood of requests is waited out all the same"
    memory.pass_time(2.0)
    assert memory.transport.reading


async def test_a_flood_of_requests_is_read_slowly_and_answered() -> None:
    memory = SessionInMemory()
    await memory.receive_many(*[Pdu(ENQUIRE_LINK, 0, number, b"") for number in range(1, 5_001)])
    assert memory.transport.reading
    await memory.receive_many(*[Pdu(ENQUIRE_LINK, 0, number, b"") for number in range(1, 10_001)])
    assert not memory.transport.reading
    assert len(memory.transport.take()) == 15_000
    memory.pass_time(1.9)
    assert not memory.transport.reading, "15,000 at 5,000 a second, of which one second is free"
    memory.pass_time(0.2)
    assert memory.transport.reading
    assert memory.session.take_unexpected()["flood"] == 10_000
    memory.submit(1)
    memory.accept(1)
    assert len(memory.listener.responses) == 1
