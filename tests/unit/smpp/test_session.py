"""A session on a transport in memory, with a clock by hand: no sockets, every byte and every instant chosen."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVDSTADR, RMSGQFUL, RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.errors import PduError, SmppError
from broadcast.smpp.codec.message import Delivery, ShortMessage, encode_message
from broadcast.smpp.codec.pdu import (
    ALERT_NOTIFICATION,
    DATA_SM,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    encode_pdu,
    split_pdus,
)
from broadcast.smpp.codec.sequence import LAST, SequenceCounter
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import LinkLostError, ResponseTimeoutError
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response

TEMPLATE = SubmitTemplate(source=b"TOCSIN", text=b"Flood")


class Wire(asyncio.Transport):
    """A transport that keeps what is written; each write is one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.session: Session[Any] | None = None
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.session is not None
            asyncio.get_running_loop().call_soon(self.session.connection_lost, None)

    def take(self) -> list[Pdu]:
        pdus, rest = split_pdus(b"".join(self.pieces))
        assert rest == b""
        self.pieces.clear()
        return pdus


class Record:
    """A listener that writes everything down."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.responses: list[Response[int]] = []
        self.late: list[Response[int]] = []
        self.deliveries: list[Delivery] = []
        self.errors: list[SmppError] = []
        self.lost: list[int] = []

    def on_responses(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.calls.append("responses")
        self.responses += responses

    def on_late(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.calls.append("late")
        self.late += responses

    def on_deliveries(self, _session: Session[int], deliveries: list[Delivery]) -> None:
        self.calls.append("deliveries")
        self.deliveries += deliveries

    def on_room(self, _session: Session[int]) -> None:
        self.calls.append("room")

    def on_lost(self, _session: Session[int], error: SmppError, unanswered: list[int]) -> None:
        self.calls.append("lost")
        self.errors.append(error)
        self.lost += unanswered


class Bench:
    """A bound session with its wire, record and clock."""

    def __init__(self, start: int = 1, **changes: Any) -> None:
        self.now = 100.0
        self.wire, self.record = Wire(), Record()
        values = {"host": "h", "port": 1, "system_id": "x", "window": 5, "response_timeout_seconds": 10.0, **changes}
        self.session: Session[int] = Session(
            BindConfig(**values), self.record, clock=lambda: self.now, sequences=SequenceCounter(start)
        )
        self.wire.session = self.session
        self.session.connection_made(self.wire)
        self.session.start(b"smsc")
        self.record.calls.clear()

    def submit(self, count: int, first: int = 0) -> int:
        tokens = range(first, first + count)
        return self.session.submit(TEMPLATE, [b"4915%08d" % token for token in tokens], tokens)

    def hear(self, *pdus: Pdu) -> None:
        self.session.data_received(b"".join(encode_pdu(*pdu) for pdu in pdus))

    def accept(self, *sequences: int) -> None:
        self.hear(*(Pdu(SUBMIT_SM_RESP, 0, each, b"id%d\0" % each) for each in sequences))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)


async def test_a_window_is_one_write_and_never_exceeded() -> None:
    bench = Bench()
    assert bench.submit(9) == 5
    assert len(bench.wire.pieces) == 1
    assert [pdu.command for pdu in bench.wire.take()] == [SUBMIT_SM] * 5
    assert (bench.session.room, bench.submit(4, 5), bench.wire.pieces) == (0, 0, [])
    bench.accept(1, 2)
    assert bench.session.room == 2
    assert bench.submit(4, 5) == 2


async def test_one_buffer_of_responses_is_one_call_then_room() -> None:
    bench = Bench()
    bench.submit(5)
    bench.accept(3, 1, 5)
    assert bench.record.calls == ["responses", "room"]
    assert bench.record.responses == [(2, 0, b"id3", 3), (0, 0, b"id1", 1), (4, 0, b"id5", 5)]


async def test_errors_without_body_with_body_and_from_vendors_are_answers() -> None:
    bench = Bench()
    bench.submit(4)
    bench.hear(
        Pdu(SUBMIT_SM_RESP, RINVDSTADR, 1, b""),
        Pdu(SUBMIT_SM_RESP, 0x0411, 2, b"\0"),
        Pdu(SUBMIT_SM_RESP, 0x45, 3, b"id\0"),
        Pdu(GENERIC_NACK, 0x02, 4, b""),
    )
    assert sorted(bench.record.responses) == [
        (0, RINVDSTADR, b"", 1),
        (1, 0x411, b"", 2),
        (2, 0x45, b"id", 3),
        (3, 2, b"", 4),
    ]


async def test_a_nack_with_status_zero_is_no_acceptance() -> None:
    bench = Bench()
    bench.submit(1)
    bench.hear(Pdu(GENERIC_NACK, 0, 1, b""), Pdu(GENERIC_NACK, 3, 0, b""))
    assert [response[1] for response in bench.record.responses] == [0xFF]


async def test_overdue_is_unknown_and_a_late_response_is_reported_once() -> None:
    bench = Bench()
    bench.submit(3)
    bench.accept(2)
    bench.pass_time(9.9)
    assert bench.record.lost == []
    bench.pass_time(0.2)
    assert bench.record.lost == [0, 2]
    assert isinstance(bench.record.errors[0], ResponseTimeoutError)
    assert bench.session.room == 5
    bench.accept(1)
    bench.accept(1)
    assert bench.record.late == [(0, 0, b"id1", 1)]
    assert [token for token, *_ in bench.record.responses] == [1]
    bench.session.abort()
    await bench.session.closed.wait()
    assert bench.record.lost == [0, 2]


async def test_lost_link_reports_the_unanswered_once_and_takes_no_more() -> None:
    bench = Bench()
    bench.submit(3)
    bench.accept(2)
    bench.session.connection_lost(ConnectionResetError("reset by peer"))
    assert (bench.record.lost, bench.record.calls.count("lost")) == ([0, 2], 1)
    assert "reset by peer" in str(bench.record.errors[0])
    assert (bench.session.room, bench.submit(1)) == (0, 0)


@pytest.mark.parametrize(("status", "pause"), [(RTHROTTLED, 0.07), (RMSGQFUL, 0.02)])
async def test_throttling_pauses_the_bind(status: int, pause: float) -> None:
    bench = Bench(rate_per_second=100.0, window=12)
    bench.submit(10)
    bench.hear(*(Pdu(SUBMIT_SM_RESP, status, each, b"") for each in range(1, 11)))
    assert bench.session.room == 0
    assert bench.session.pacing.rate == (50.0 if status == RTHROTTLED else 100.0)
    assert "room" not in bench.record.calls
    bench.now += pause
    assert bench.session.pacing.room(bench.now) == 0
    bench.now += 0.5
    assert bench.session.room > 0
    await asyncio.sleep(0.15)
    assert bench.record.calls[-1] == "room"


async def test_room_comes_back_by_the_clock_when_it_was_the_rate_that_ended_it() -> None:
    bench = Bench(rate_per_second=50.0, window=100)
    assert bench.submit(60) == 5
    assert bench.submit(60) == 0
    bench.now += 0.1
    await asyncio.sleep(0.05)
    assert bench.record.calls == ["room"]


async def test_a_rounding_error_in_the_rate_does_not_sleep_for_ever() -> None:
    bench = Bench(rate_per_second=50.0, window=100)
    bench.submit(5)
    bench.session.pacing._tokens = 1.0 - 1e-16 * 2
    assert bench.submit(1) == 0
    bench.now += 1e-9
    await asyncio.sleep(0.02)
    assert bench.record.calls == ["room"]


async def test_nothing_to_submit_wakes_nobody() -> None:
    bench = Bench()
    assert bench.submit(0) == bench.session.submit_many([]) == 0
    await asyncio.sleep(0.02)
    assert bench.record.calls == []


async def test_not_bound_at_the_smsc_ends_the_session() -> None:
    bench = Bench()
    bench.submit(2)
    bench.hear(Pdu(SUBMIT_SM_RESP, RINVBNDSTS, 1, b""))
    await bench.session.closed.wait()
    assert [response[1] for response in bench.record.responses] == [RINVBNDSTS]
    assert bench.record.lost == [1]


async def test_enquire_link_both_ways_and_two_missed_drop_it_even_while_busy() -> None:
    bench = Bench(enquire_link_seconds=5.0, response_timeout_seconds=100.0)
    bench.hear(Pdu(ENQUIRE_LINK, 0, 77, b""))
    assert bench.wire.take() == [Pdu(ENQUIRE_LINK_RESP, 0, 77, b"")]
    heard: list[float] = []
    bench.session.on_enquire_link_answered = heard.append
    bench.pass_time(5.0)
    (enquiry,) = bench.wire.take()
    bench.now += 0.25
    bench.hear(Pdu(ENQUIRE_LINK_RESP, 0, enquiry.sequence, b""))
    assert heard == [0.25]
    for _ in range(2):
        bench.pass_time(5.0)
        bench.submit(1)
        bench.accept(bench.wire.take()[-1].sequence)
    assert not bench.wire.closed
    bench.pass_time(5.0)
    await bench.session.closed.wait()
    assert "2 enquire_links" in str(bench.record.errors[0])


async def test_silence_ends_it() -> None:
    bench = Bench(enquire_link_seconds=1000.0, inactivity_seconds=30.0)
    bench.pass_time(29.0)
    assert not bench.wire.closed
    bench.pass_time(2.0)
    await bench.session.closed.wait()
    assert "nothing received" in str(bench.record.errors[0])


async def test_unbind_by_the_smsc_is_answered_and_ends_the_session() -> None:
    bench = Bench()
    bench.submit(2)
    bench.wire.take()
    bench.hear(Pdu(UNBIND, 0, 9, b""))
    assert bench.wire.take() == [Pdu(UNBIND_RESP, 0, 9, b"")]
    assert bench.session.room == 0
    bench.accept(1)
    bench.pass_time(1.1)
    await bench.session.closed.wait()
    assert bench.record.lost == [1]
    assert [token for token, *_ in bench.record.responses] == [0]


async def test_our_unbind_waits_for_the_answers() -> None:
    bench = Bench()
    bench.submit(1)
    bench.wire.take()
    unbinding = asyncio.create_task(bench.session.unbind(5.0))
    await asyncio.sleep(0)
    assert (bench.session.room, bench.wire.take()) == (0, [])
    bench.accept(1)
    await asyncio.sleep(0.01)
    (pdu,) = bench.wire.take()
    assert pdu.command == UNBIND
    bench.hear(Pdu(UNBIND_RESP, 0, pdu.sequence, b""))
    await unbinding
    assert bench.record.lost == []


async def test_our_unbind_gives_up_within_its_budget() -> None:
    bench = Bench()
    bench.submit(2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await bench.session.unbind(0.1)
    assert loop.time() - started < 1.0
    assert bench.record.lost == [0, 1]


async def test_deliveries_are_answered_when_the_caller_says_so_and_by_kind() -> None:
    bench = Bench()
    body = encode_message(ShortMessage(source=b"4915", destination=b"TOCSIN", esm_class=4, short_message=b"id:1"))
    data = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0"
    bench.hear(Pdu(DELIVER_SM, 0, 1, body), Pdu(DATA_SM, 0, 2, data), Pdu(DELIVER_SM, 0, 3, body))
    assert bench.record.calls == ["deliveries"]
    assert [each.sequence for each in bench.record.deliveries] == [1, 2, 3]
    assert bench.wire.take() == []
    bench.session.answer([1, 2, 3])
    answered = bench.wire.take()
    assert sorted((pdu.sequence, pdu.command) for pdu in answered) == [
        (1, DELIVER_SM_RESP),
        (2, DATA_SM_RESP),
        (3, DELIVER_SM_RESP),
    ]


async def test_too_many_unanswered_deliveries_are_sent_back() -> None:
    bench = Bench(deliveries_limit=2)
    body = encode_message(ShortMessage(source=b"4915", short_message=b"hi"))
    bench.hear(*(Pdu(DELIVER_SM, 0, number, body) for number in (1, 2, 3)))
    assert [each.sequence for each in bench.record.deliveries] == [1, 2]
    assert bench.wire.take() == [Pdu(DELIVER_SM_RESP, RX_T_APPN, 3, b"\0")]
    bench.session.answer([1])
    bench.hear(Pdu(DELIVER_SM, 0, 4, body), Pdu(DELIVER_SM, 0, 5, body))
    assert [each.sequence for each in bench.record.deliveries] == [1, 2, 4]


async def test_odd_requests_are_refused_and_odd_responses_passed_over() -> None:
    bench = Bench()
    bench.hear(Pdu(0x21, 0, 5, b"x"), Pdu(ALERT_NOTIFICATION, 0, 6, b""), Pdu(0x80010200, 0, 7, b""))
    assert bench.wire.take() == [Pdu(GENERIC_NACK, 3, 5, b"")]
    bench.hear(Pdu(SUBMIT_SM_RESP, 0, 4711, b"who\0"))
    assert bench.record.responses == []


async def test_nonsense_on_the_wire_ends_the_link_after_what_was_good() -> None:
    bench = Bench()
    bench.submit(2)
    bench.wire.take()
    bench.session.data_received(encode_pdu(SUBMIT_SM_RESP, 0, 1, b"a\0") + b"HTTP/1.1 400 Bad Request")
    await bench.session.closed.wait()
    assert [token for token, *_ in bench.record.responses] == [0]
    assert bench.record.lost == [1]
    assert bench.wire.take() == [Pdu(GENERIC_NACK, 2, 0, b"")]


async def test_sequences_wrap_and_enquire_link_shares_the_counter() -> None:
    bench = Bench(start=LAST - 1, enquire_link_seconds=1.0)
    bench.submit(2)
    bench.pass_time(1.0)
    bench.submit(2, 2)
    assert [pdu.sequence for pdu in bench.wire.take()] == [LAST - 1, LAST, 1, 2, 3]
    bench.accept(LAST, 3, 2, LAST - 1)
    assert [token for token, *_ in bench.record.responses] == [1, 3, 2, 0]


async def test_tcp_that_is_full_takes_no_more() -> None:
    bench = Bench()
    bench.session.pause_writing()
    assert bench.submit(1) == 0
    bench.session.resume_writing()
    assert bench.record.calls == ["room"]
    assert bench.submit(1) == 1


async def test_a_bad_destination_takes_nothing_and_no_place() -> None:
    bench = Bench()
    with pytest.raises(PduError):
        bench.session.submit(TEMPLATE, [b"49151", b""], [0, 1])
    with pytest.raises(PduError):
        bench.session.submit_many([(TEMPLATE, b"49151", 0), (TEMPLATE, b"1" * 30, 1)])
    assert (bench.session.room, bench.wire.pieces) == (5, [])


async def test_segments_of_a_message_go_whole_in_order_in_one_write() -> None:
    bench = Bench()
    first, second = (SubmitTemplate(source=b"T", text=text, esm_class=0x40) for text in (b"one", b"two"))
    items = [(template, b"49151", number) for number in range(4) for template in (first, second)]
    assert bench.session.submit_many(items, group=2) == 4
    assert len(bench.wire.pieces) == 1
    assert [pdu.body[-3:] for pdu in bench.wire.take()] == [b"one", b"two"] * 2
    assert bench.session.submit_many(items[4:], group=2) == 0
    with pytest.raises(ValueError, match="raise the window"):
        bench.session.submit_many(items, group=8)


async def test_start_on_a_link_that_has_ended_says_so() -> None:
    session: Session[int] = Session(BindConfig(host="h", port=1, system_id="x"), Record(), clock=lambda: 0.0)
    session.connection_lost(None)
    with pytest.raises(LinkLostError):
        session.start(b"")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_token_is_reported_exactly_once(data: st.DataObject) -> None:
    async def run() -> None:
        bench = Bench(window=8, enquire_link_seconds=1e9, inactivity_seconds=1e9)
        given_out, unanswered = 0, list[int]()
        for _ in range(data.draw(st.integers(1, 20))):
            match data.draw(st.sampled_from(["submit", "answer", "refuse", "repeat", "wait"])):
                case "submit":
                    given_out += bench.submit(data.draw(st.integers(1, 10)), given_out)
                    unanswered += [pdu.sequence for pdu in bench.wire.take()]
                    assert bench.session.unanswered <= 8
                case "answer" | "refuse" as how if unanswered:
                    some = data.draw(st.lists(st.sampled_from(unanswered), unique=True))
                    status = 0 if how == "answer" else data.draw(st.sampled_from([0x0B, 0x401, 0x45]))
                    bench.hear(*(Pdu(SUBMIT_SM_RESP, status, each, b"") for each in some))
                    unanswered = [each for each in unanswered if each not in some]
                case "repeat" if given_out:
                    bench.accept(data.draw(st.integers(given_out + 1, given_out + 50)))
                case "wait":
                    bench.pass_time(data.draw(st.sampled_from([1.0, 6.0, 11.0])))
        bench.session.abort()
        await bench.session.closed.wait()
        reported = Counter(token for token, *_ in bench.record.responses) + Counter(bench.record.lost)
        assert reported == Counter(range(given_out))
        assert len({token for token, *_ in bench.record.late}) == len(bench.record.late)

    asyncio.run(run())


async def test_what_nothing_asked_for_is_counted_by_kind() -> None:
    bench = Bench()
    bench.hear(
        Pdu(SUBMIT_SM_RESP, 0, 4711, b"id\0"),
        Pdu(ENQUIRE_LINK_RESP, 0, 4712, b""),
        Pdu(0x21, 0, 9, b"submit_multi"),
        Pdu(DELIVER_SM, 0, 10, b"odd"),
    )
    assert bench.session.take_unexpected() == {"response": 2, "request": 1, "delivery": 1}
    assert bench.session.take_unexpected() == {}
