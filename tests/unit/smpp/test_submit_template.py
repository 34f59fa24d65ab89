"""A rendered template is byte for byte what the codec would encode for each destination alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import ShortMessage, encode_message, parse_message
from broadcast.smpp.codec.pdu import SUBMIT_SM, encode_pdu
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, parse_tlvs
from tests.support.smpp import split_pdus

numbers = st.text("0123456789", min_size=1, max_size=20).map(str.encode)


@given(
    st.lists(st.tuples(st.integers(1, 0x7FFFFFFF), numbers), min_size=1, max_size=40),
    st.binary(max_size=254),
    st.sampled_from([0, 0x40]),
    st.sampled_from([0, 8]),
    st.sampled_from([b"", b"000000003000000R"]),
)
def test_render_equals_the_codec(
    pairs: list[tuple[int, bytes]], text: bytes, esm_class: int, coding: int, validity: bytes
) -> None:
    template = SubmitTemplate(
        source=b"TOCSIN", text=text, esm_class=esm_class, data_coding=coding, validity_period=validity, priority_flag=3
    )
    rendered = template.render([sequence for sequence, _ in pairs], [number for _, number in pairs])
    one_by_one = bytearray()
    for sequence, number in pairs:
        template.append_to(one_by_one, sequence, number)
    expected = b"".join(
        encode_pdu(
            SUBMIT_SM,
            0,
            sequence,
            encode_message(
                ShortMessage(
                    source_ton=5,
                    source=b"TOCSIN",
                    destination_ton=1,
                    destination_npi=1,
                    destination=number,
                    esm_class=esm_class,
                    priority_flag=3,
                    validity_period=validity,
                    registered_delivery=1,
                    data_coding=coding,
                    short_message=text,
                )
            ),
        )
        for sequence, number in pairs
    )
    assert bytes(rendered) == expected
    assert bytes(one_by_one) == expected


def test_long_text_goes_as_payload_with_sm_length_zero() -> None:
    template = SubmitTemplate(source=b"1", text=b"x" * 255, tlvs=[(0x0204, b"\0\1")])
    (pdu,) = split_pdus(bytes(template.render([1], [b"4915100000000"])))
    message = parse_message(pdu.body, 0, len(pdu.body))
    assert message.short_message == b""
    assert parse_tlvs(message.optional) == {0x0204: b"\0\1", MESSAGE_PAYLOAD: b"x" * 255}


@pytest.mark.parametrize("destination", [b"", b"1" * 21])
def test_destination_of_impossible_length_is_refused_before_anything_is_rendered(destination: bytes) -> None:
    template = SubmitTemplate(source=b"1", text=b"x")
    with pytest.raises(PduError, match="destination_addr has"):
        template.render([1, 2], [b"491511", destination])
    buffer = bytearray()
    with pytest.raises(PduError, match="destination_addr has"):
        template.append_to(buffer, 1, destination)
    assert buffer == b""


def test_no_destinations_render_to_nothing() -> None:
    assert SubmitTemplate(source=b"1", text=b"x").render([], []) == b""


def test_a_text_that_looks_like_the_blank_stays_text() -> None:
    text = b"\x01destination\x01"
    (pdu,) = split_pdus(bytes(SubmitTemplate(source=b"1", text=text).render([1], [b"4915"])))
    message = parse_message(pdu.body, 0, len(pdu.body))
    assert (message.destination, message.short_message) == (b"4915", text)
