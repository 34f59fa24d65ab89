"""The codec: what is encoded is read back, however the stream is cut."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.clock import monotonic
from broadcast.smpp.codec.bind import BindRequest, encode_bind, parse_bind, parse_bind_response
from broadcast.smpp.codec.command_status import RINVCMDLEN
from broadcast.smpp.codec.errors import FrameError, PduError
from broadcast.smpp.codec.message import (
    Delivery,
    ShortMessage,
    encode_message,
    parse_data_message,
    parse_delivery,
    parse_message,
)
from broadcast.smpp.codec.message_ids import LONGEST_ID
from broadcast.smpp.codec.pdu import (
    DATA_SM,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    GENERIC_NACK,
    PDU_CAP,
    SUBMIT_SM_RESP,
    Pdu,
    encode_acknowledgements,
    encode_pdu,
)
from broadcast.smpp.codec.reader import Reader
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, encode_tlvs, parse_tlvs
from tests.support.smpp import split_pdus

octet = st.integers(0, 255)
sequences = st.integers(1, 0x7FFFFFFF)


def cstring(limit: int) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=limit).map(lambda value: value.replace(b"\0", b"x"))


tlvs = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=300), max_size=5)
messages = st.builds(
    ShortMessage,
    service_type=cstring(5),
    source_ton=octet,
    source_npi=octet,
    source=cstring(20),
    destination_ton=octet,
    destination_npi=octet,
    destination=cstring(20),
    esm_class=octet,
    protocol_id=octet,
    priority_flag=octet,
    schedule_delivery_time=cstring(16),
    validity_period=cstring(16),
    registered_delivery=octet,
    replace_if_present=octet,
    data_coding=octet,
    default_message_id=octet,
    short_message=st.binary(max_size=254),
    optional=tlvs.map(lambda each: encode_tlvs(each.items())),
)
pdus = st.one_of(
    st.builds(lambda n, i, s: Pdu(SUBMIT_SM_RESP, s, n, i + b"\0"), sequences, cstring(64), st.sampled_from([0, 0x58])),
    st.builds(lambda n: Pdu(SUBMIT_SM_RESP, 0, n, b"0000000001\0"), sequences),
    st.builds(lambda n, s: Pdu(SUBMIT_SM_RESP, s, n, b""), sequences, st.integers(1, 0xFFFFFFFF)),
    st.builds(lambda n, m: Pdu(DELIVER_SM, 0, n, encode_message(m)), sequences, messages),
    st.builds(lambda n: Pdu(ENQUIRE_LINK, 0, n, b""), sequences),
    st.builds(lambda n, b: Pdu(0x00010203, 0, n, b), sequences, st.binary(max_size=40)),
)


@given(messages)
def test_message_round_trip(message: ShortMessage) -> None:
    body = encode_message(message)
    assert parse_message(b"before" + body + b"after", 6, 6 + len(body)) == message


@given(messages, sequences)
def test_delivery_has_the_fields_of_the_message(message: ShortMessage, sequence: int) -> None:
    body = encode_message(message)
    assert parse_delivery(body, 0, len(body), sequence) == Delivery(
        sequence,
        message.esm_class,
        message.source,
        message.destination,
        message.data_coding,
        message.short_message,
        message.optional,
    )


@given(messages, st.data())
def test_message_cut_short_is_refused(message: ShortMessage, data: st.DataObject) -> None:
    body = encode_message(message)
    mandatory = len(body) - len(message.optional)
    cut = data.draw(st.integers(0, mandatory - 1))
    with pytest.raises(PduError):
        parse_message(body, 0, cut)


@given(cstring(15), cstring(64), cstring(12), octet, octet, octet, cstring(40))
def test_bind_round_trip(
    system_id: bytes, password: bytes, system_type: bytes, version: int, ton: int, npi: int, address_range: bytes
) -> None:
    request = BindRequest(system_id, password, system_type, version, ton, npi, address_range)
    assert parse_bind(encode_bind(request)) == request


@pytest.mark.parametrize("body", [b"", b"id", b"id\0pw\0", b"id\0pw\0type\0\x34", b"id\0pw\0type\0\x34\0\0range"])
def test_bind_cut_short_is_refused(body: bytes) -> None:
    with pytest.raises(PduError):
        parse_bind(body)


def test_bind_response_without_body_is_read() -> None:
    assert parse_bind_response(b"") == (b"", {})
    assert parse_bind_response(b"smsc\0" + encode_tlvs([(0x0210, b"\x34")])) == (b"smsc", {0x0210: b"\x34"})


@given(tlvs)
def test_tlvs_round_trip_unknown_tags_included(values: dict[int, bytes]) -> None:
    assert parse_tlvs(encode_tlvs(values.items())) == values


@pytest.mark.parametrize("optional", [b"\x14", b"\x14\x00\x00", b"\x14\x00\x00\x02a"])
def test_tlvs_with_wrong_lengths_are_refused(optional: bytes) -> None:
    with pytest.raises(PduError, match=r"optional parameter"):
        parse_tlvs(optional)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@given(st.lists(pdus, max_size=30), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_reader_gives_the_same_however_the_stream_is_cut(expected: list[Pdu], places: list[int]) -> None:
    data = b"".join(encode_pdu(*pdu) for pdu in expected)
    reader = Reader()
    responses, deliveries, others = [], [], []
    for piece in cut(data, places):
        batch = reader.feed(piece)
        assert batch.error is None
        responses += list(zip(batch.sequences, batch.statuses, batch.ids, strict=True))
        deliveries += batch.deliveries
        others += batch.others
    assert responses == [
        (pdu.sequence, pdu.status, pdu.body.partition(b"\0")[0]) for pdu in expected if pdu.command == SUBMIT_SM_RESP
    ]
    assert deliveries == [
        parse_delivery(pdu.body, 0, len(pdu.body), pdu.sequence) for pdu in expected if pdu.command == DELIVER_SM
    ]
    assert others == [pdu for pdu in expected if pdu.command not in {SUBMIT_SM_RESP, DELIVER_SM}]
    assert split_pdus(data) == expected


@given(st.integers(1, 3000), st.integers(0, 3))
def test_long_runs_of_responses_are_read_whole(count: int, breaks: int) -> None:
    sent = [Pdu(SUBMIT_SM_RESP, number % (breaks + 1), number, b"%010d\0" % number) for number in range(1, count + 1)]
    batch = Reader().feed(b"".join(encode_pdu(*pdu) for pdu in sent))
    assert batch.sequences == [pdu.sequence for pdu in sent]
    assert batch.statuses == [pdu.status for pdu in sent]
    assert batch.ids == [pdu.body[:-1] for pdu in sent]


receipts = st.builds(
    ShortMessage,
    service_type=st.sampled_from([b"", b"CMT"]),
    source=st.sampled_from([b"4915100000001", b"4915100000002", b"49151\xff0000002", b"491"]),
    destination=st.sampled_from([b"TOCSIN", b"TOCSIM"]),
    esm_class=st.sampled_from([4, 0x20]),
    data_coding=st.sampled_from([0, 8]),
    short_message=st.sampled_from([b"id:1 stat:DELIVRD", b"id:2 stat:UNDELIV", b"id:3\0stat:DELIVRD", b""]),
    optional=st.sampled_from([b"", encode_tlvs([(0x0427, b"\2")]), encode_tlvs([(0x0427, b"\5")])]),
)


@given(st.lists(st.tuples(receipts, st.integers(1, 12)), min_size=1, max_size=8), st.integers(0, 60))
def test_runs_of_receipts_are_read_as_one_by_one(runs: list[tuple[ShortMessage, int]], changed: int) -> None:
    messages = [message for message, times in runs for _ in range(times)]
    bodies = [encode_message(message) for message in messages]
    # A NUL where a digit stands, or in the text: the fields of this one lie elsewhere, or it cannot be read.
    place = changed % len(bodies)
    bodies[place] = bodies[place].replace(b"1", b"\0", 1)
    whole = [encode_pdu(DELIVER_SM, 0, number, body) for number, body in enumerate(bodies, start=1)]
    one_by_one = [delivery for pdu in whole for delivery in Reader().feed(pdu).deliveries]
    assert Reader().feed(b"".join(whole)).deliveries == one_by_one


@given(st.integers(0, 70), st.integers(0, 200))
def test_octets_that_look_like_a_header_end_no_run_early_or_late(alike: int, gap: int) -> None:
    response = encode_pdu(SUBMIT_SM_RESP, 0, 1, b"0000000001\0")
    text = bytes(gap % len(response)) + response * 4
    between = encode_pdu(DELIVER_SM, 0, 2, encode_message(ShortMessage(short_message=text)))
    batch = Reader().feed(response * alike + between + response * 3)
    assert batch.sequences == [1] * (alike + 3)
    assert [delivery.short_message for delivery in batch.deliveries] == [text]


def test_response_with_tlvs_behind_the_id() -> None:
    body = b"4711\0" + encode_tlvs([(0x0428, b"\x55")])
    assert Reader().feed(encode_pdu(SUBMIT_SM_RESP, 0, 9, body) * 3).ids == [b"4711"] * 3


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0" + b"\x14\x00\x00\x01x"])
def test_a_message_id_in_a_response_is_cut_to_the_longest_that_a_receipt_may_name(tail: bytes) -> None:
    """The standard allows 64 octets; an id of 60,000 for each recipient must not fill Kafka."""
    responses = [encode_pdu(SUBMIT_SM_RESP, 0, number, b"%d" % number * 60_000 + tail) for number in (1, 2)]
    batch = Reader().feed(b"".join(responses) + encode_pdu(SUBMIT_SM_RESP, 0, 3, b"3" * LONGEST_ID + tail))
    assert batch.ids == [b"1" * LONGEST_ID, b"2" * LONGEST_ID, b"3" * LONGEST_ID]
    assert batch.sequences == [1, 2, 3]


@pytest.mark.parametrize("length", [0, 15, PDU_CAP + 1, 0xFFFFFFFF])
def test_impossible_length_ends_the_stream_but_not_what_came_before(length: int) -> None:
    good = encode_pdu(SUBMIT_SM_RESP, 0, 7, b"a\0")
    batch = Reader().feed(good + struct.pack(">IIII", length, 4, 0, 1) + bytes(40))
    assert isinstance(batch.error, FrameError)
    assert batch.sequences == [7]


def test_unreadable_delivery_does_not_stop_the_stream() -> None:
    whole = encode_message(ShortMessage(source=b"4915", short_message=b"hello"))
    batch = Reader().feed(encode_pdu(DELIVER_SM, 0, 1, whole[:9]) + encode_pdu(DELIVER_SM, 0, 2, whole))
    cut, good = batch.deliveries
    assert cut.fault is not None
    assert (cut.sequence, cut.fault.command_status, cut.fault.body) == (1, RINVCMDLEN, whole[:9])
    assert (good.sequence, good.fault, good.short_message) == (2, None, b"hello")


def test_data_sm_carries_its_text_in_the_payload() -> None:
    body = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0" + encode_tlvs([(MESSAGE_PAYLOAD, b"id:1 stat:DELIVRD")])
    delivery = parse_data_message(body, 0, len(body), 5)
    assert (delivery.source, delivery.destination, delivery.text) == (b"4915", b"TOCSIN", b"id:1 stat:DELIVRD")
    batch = Reader().feed(encode_pdu(DATA_SM, 0, 5, body))
    assert batch.deliveries == [delivery]


@given(st.lists(sequences, max_size=50), st.sampled_from([0, 0x14]))
def test_acknowledgements_are_one_pdu_each(numbers: list[int], status: int) -> None:
    found = split_pdus(bytes(encode_acknowledgements(DELIVER_SM_RESP, status, numbers)))
    assert found == [Pdu(DELIVER_SM_RESP, status, number, b"\0") for number in numbers]


def test_oversize_short_message_is_refused_by_name() -> None:
    with pytest.raises(PduError, match="255 octets, at most 254; use message_payload"):
        encode_message(ShortMessage(short_message=bytes(255)))


def test_generic_nack_is_an_ordinary_pdu_to_the_reader() -> None:
    assert Reader().feed(encode_pdu(GENERIC_NACK, 3, 0)).others == [Pdu(GENERIC_NACK, 3, 0, b"")]


@pytest.mark.parametrize(
    "stream",
    [
        b"".join(encode_pdu(SUBMIT_SM_RESP, 0, 1 + number, b"\0a" * (1 + number % 7)) for number in range(12_000)),
        b"".join(
            encode_pdu(DELIVER_SM, 0, 1 + number, encode_message(ShortMessage(esm_class=4 * (number % 2))))
            for number in range(6_000)
        ),
    ],
    ids=["responses of seven lengths in turn", "receipts and messages in turn"],
)
def test_a_large_buffer_of_pdus_of_which_each_differs_from_the_next_is_read_in_a_short_time(stream: bytes) -> None:
    began = monotonic()
    batch = Reader().feed(stream)
    # A tenth of the lease of a sender on a quiet machine; quadratic reading takes ten seconds and more.
    assert monotonic() - began < 2.5
    assert len(batch.sequences) + len(batch.deliveries) in {12_000, 6_000}


def seconds_to_read(runs: Sequence[tuple[bytes, int]]) -> float:
    """The least of three times to read 6,000 deliver_sm: so many of each service_type, again and again."""
    kinds = [service_type for service_type, count in runs for _ in range(count)]
    stream = b"".join(
        encode_pdu(DELIVER_SM, 0, 1 + number, encode_message(ShortMessage(service_type=kinds[number % len(kinds)])))
        for number in range(6_000)
    )
    seconds = []
    for _ in range(3):
        began = thread_time()
        assert len(Reader().feed(stream).deliveries) == 6_000
        seconds.append(thread_time() - began)
    return min(seconds)


@pytest.mark.parametrize(
    "runs",
    [
        [(b"A", 1), (b"B", 1)],
        [(b"A", 4), (b"B", 1)],
        [(b"A", 5), (b"B", 4)],
        [(b"A", 9), (b"B", 1)],
        [(b"A", 20), (b"B", 3)],
    ],
)
def test_deliveries_whose_heads_change_are_read_at_the_cost_of_single_ones(runs: list[tuple[bytes, int]]) -> None:
    assert seconds_to_read(runs) < 6 * seconds_to_read([(b"A", 1), (b"BB", 1)]), "those of two lengths are no runs"
