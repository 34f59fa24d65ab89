"""What the codec writes, smpp34 and smpplib read, and what they write, it reads, field by field."""

from typing import Any

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp as smpplib

from broadcast.smpp.codec.bind import BindRequest, encode_bind, parse_bind, parse_bind_response
from broadcast.smpp.codec.message import ShortMessage, encode_message, parse_delivery, parse_message
from broadcast.smpp.codec.pdu import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSCEIVER_RESP,
    BIND_TRANSMITTER,
    DATA_SM,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    HEADER_LENGTH,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    UNBIND,
    UNBIND_RESP,
    Pdu,
    encode_acknowledgements,
    encode_pdu,
)
from broadcast.smpp.codec.reader import Batch, Reader
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.codec.tlv import encode_tlvs, parse_tlvs

octet = st.integers(0, 255)
sequences = st.integers(1, 0x7FFFFFFF)


def ascii_text(limit: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=least, max_size=limit)


fields = st.fixed_dictionaries(
    {
        "service_type": ascii_text(5),
        "source_addr_ton": octet,
        "source_addr_npi": octet,
        "source_addr": ascii_text(20),
        "dest_addr_ton": octet,
        "dest_addr_npi": octet,
        "destination_addr": st.text("0123456789", min_size=1, max_size=20),
        "esm_class": octet,
        "protocol_id": octet,
        "priority_flag": octet,
        "schedule_delivery_time": st.sampled_from(["", "261127120000000+"]),
        "validity_period": st.sampled_from(["", "000001000000000R", "261127120000000+"]),
        "registered_delivery": octet,
        "replace_if_present_flag": octet,
        "data_coding": octet,
        "sm_default_msg_id": octet,
        "short_message": st.binary(max_size=254),
    }
)
tlvs = st.lists(
    st.tuples(st.sampled_from([0x0204, 0x020C, 0x020E, 0x020F, 0x0424, 0x1400, 0x3FFF]), st.binary(max_size=300)),
    max_size=4,
    unique_by=lambda each: each[0],
)


def to_message(given: dict[str, Any], optional: bytes = b"") -> ShortMessage:
    """The fields of the standard as ours."""
    text: dict[str, Any] = {name: value.encode() if isinstance(value, str) else value for name, value in given.items()}
    return ShortMessage(
        text["service_type"],
        text["source_addr_ton"],
        text["source_addr_npi"],
        text["source_addr"],
        text["dest_addr_ton"],
        text["dest_addr_npi"],
        text["destination_addr"],
        text["esm_class"],
        text["protocol_id"],
        text["priority_flag"],
        text["schedule_delivery_time"],
        text["validity_period"],
        text["registered_delivery"],
        text["replace_if_present_flag"],
        text["data_coding"],
        text["sm_default_msg_id"],
        text["short_message"],
        optional,
    )


def fields_of(other: Any) -> dict[str, Any]:
    return {name: getattr(other, name) for name in FIELDS}


FIELDS = (
    "service_type", "source_addr_ton", "source_addr_npi", "source_addr", "dest_addr_ton", "dest_addr_npi",
    "destination_addr", "esm_class", "protocol_id", "priority_flag", "schedule_delivery_time", "validity_period",
    "registered_delivery", "replace_if_present_flag", "data_coding", "sm_default_msg_id", "short_message",
)  # fmt: skip


def read_smpplib(pdu: bytes) -> Any:
    return smpplib.parse_pdu(pdu, allow_unknown_opt_params=True, sequence=0)


def fields_of_smpplib(other: Any) -> dict[str, Any]:
    found = {}
    for name in FIELDS:
        value = getattr(other, name)
        found[name] = value.decode() if isinstance(value, bytes) and name != "short_message" else value
    # smpplib reads an empty text as none.
    found["short_message"] = found["short_message"] or b""
    return found


def write_smpplib(command: str, sequence: int, **values: Any) -> bytes:
    pdu = smpplib.make_pdu(command, sequence=sequence)
    pdu.sequence = sequence
    for name, value in values.items():
        setattr(pdu, name, value)
    written: bytes = pdu.generate()
    return written


@given(fields, tlvs, sequences, st.sampled_from([SUBMIT_SM, DELIVER_SM]))
def test_smpp34_reads_a_message_as_it_was_written(
    given: dict[str, Any], optional: list[tuple[int, bytes]], sequence: int, command: int
) -> None:
    body = encode_message(to_message(given, encode_tlvs(optional)))
    read = smpp34.decode(encode_pdu(command, 0, sequence, body))
    assert isinstance(read, smpp34.SubmitSm if command == SUBMIT_SM else smpp34.DeliverSm)
    assert (read.command_id, read.sequence_number) == (command, sequence)
    assert fields_of(read) == given
    assert [(each.tag, each.value) for each in read.tlvs] == optional


@given(fields, tlvs, sequences, st.sampled_from([smpp34.SubmitSm, smpp34.DeliverSm]))
def test_a_message_that_smpp34_wrote_is_read(
    given: dict[str, Any], optional: list[tuple[int, bytes]], sequence: int, kind: type[smpp34.SubmitSm]
) -> None:
    written = kind(**given, tlvs=[smpp34.Tlv(tag, value) for tag, value in optional], sequence_number=sequence).encode()
    read = parse_message(written, HEADER_LENGTH, len(written))
    assert read == to_message(given, encode_tlvs(optional))
    assert parse_tlvs(read.optional) == dict(optional)


@given(fields, sequences, st.sampled_from([SUBMIT_SM, DELIVER_SM]))
def test_smpplib_reads_a_message_as_it_was_written(given: dict[str, Any], sequence: int, command: int) -> None:
    read = read_smpplib(encode_pdu(command, 0, sequence, encode_message(to_message(given))))
    assert (read.command, read.sequence) == ("submit_sm" if command == SUBMIT_SM else "deliver_sm", sequence)
    assert fields_of_smpplib(read) == given


@given(fields, sequences, st.sampled_from(["submit_sm", "deliver_sm"]))
def test_a_message_that_smpplib_wrote_is_read(given: dict[str, Any], sequence: int, command: str) -> None:
    written = write_smpplib(command, sequence, **given)
    assert parse_message(written, HEADER_LENGTH, len(written)) == to_message(given)


@given(
    st.lists(st.tuples(sequences, st.text("0123456789", min_size=1, max_size=20)), min_size=1, max_size=20),
    st.binary(max_size=300),
    tlvs.map(lambda each: [(tag, value) for tag, value in each if tag != 0x0424]),
)
def test_smpp34_and_smpplib_read_what_a_template_renders(
    pairs: list[tuple[int, str]], text: bytes, optional: list[tuple[int, bytes]]
) -> None:
    template = SubmitTemplate(source=b"TOCSIN", text=text, validity_period=b"000001000000000R", tlvs=optional)
    rendered = bytes(template.render([sequence for sequence, _ in pairs], [number.encode() for _, number in pairs]))
    for sequence, number in pairs:
        length = int.from_bytes(rendered[:4], "big")
        pdu, rendered = rendered[:length], rendered[length:]
        read = smpp34.decode(pdu)
        assert isinstance(read, smpp34.SubmitSm)
        assert (read.sequence_number, read.destination_addr, read.source_addr) == (sequence, number, "TOCSIN")
        payload = [each.value for each in read.tlvs if each.tag == 0x0424]
        assert read.short_message == text if len(text) <= 254 else payload == [text]
        if len(text) <= 254 and not optional:
            other = read_smpplib(pdu)
            assert (other.sequence, other.destination_addr, other.short_message or b"") == (
                sequence,
                number.encode(),
                text,
            )
    assert not rendered


BINDS = {
    "bind_transmitter": BIND_TRANSMITTER,
    "bind_receiver": BIND_RECEIVER,
    "bind_transceiver": BIND_TRANSCEIVER,
}
binds = st.fixed_dictionaries(
    {
        "system_id": ascii_text(15, 1),
        "password": ascii_text(8),
        "system_type": ascii_text(12),
        "addr_ton": octet,
        "addr_npi": octet,
        "address_range": ascii_text(40),
    }
)


@given(binds, sequences, st.sampled_from(sorted(BINDS)))
def test_binds_pass_in_both_directions(given: dict[str, Any], sequence: int, command: str) -> None:
    text: dict[str, Any] = {name: value.encode() if isinstance(value, str) else value for name, value in given.items()}
    ours = BindRequest(interface_version=0x34, **text)
    written = write_smpplib(command, sequence, **given)
    assert int.from_bytes(written[4:8], "big") == BINDS[command]
    assert parse_bind(written[HEADER_LENGTH:]) == ours
    assert encode_pdu(BINDS[command], 0, sequence, encode_bind(ours)) == written
    read = read_smpplib(written)
    assert {name: getattr(read, name) for name in text} == text
    assert read.interface_version == 0x34


@given(ascii_text(15), sequences, octet)
def test_bind_responses_pass_in_both_directions(system_id: str, sequence: int, version: int) -> None:
    written = write_smpplib("bind_transceiver_resp", sequence, system_id=system_id, sc_interface_version=version)
    (pdu,) = feed(written).others
    assert (pdu.command, pdu.sequence) == (BIND_TRANSCEIVER_RESP, sequence)
    read = parse_bind_response(pdu.body)
    assert (read.system_id, read.tlvs) == (system_id.encode(), {0x0210: bytes([version])})
    other = read_smpplib(encode_pdu(BIND_TRANSCEIVER_RESP, 0, sequence, pdu.body))
    assert (other.system_id, other.sc_interface_version) == (system_id.encode(), version)


def feed(data: bytes) -> Batch:
    batch = Reader().feed(data)
    assert batch.error is None
    return batch


@given(ascii_text(64), sequences, st.sampled_from([0, 0x08, 0x58, 0x400]))
def test_submit_responses_pass_in_both_directions(message_id: str, sequence: int, status: int) -> None:
    written = write_smpplib("submit_sm_resp", sequence, message_id=message_id, status=status)
    batch = feed(written)
    assert (batch.sequences, batch.statuses, batch.ids) == ([sequence], [status], [message_id.encode()])
    other = read_smpplib(encode_pdu(SUBMIT_SM_RESP, status, sequence, message_id.encode() + b"\0"))
    assert (other.sequence, other.status, other.message_id) == (sequence, status, message_id.encode())
    raw = smpp34.decode(written)
    assert isinstance(raw, smpp34.RawPdu)
    assert (raw.command_id, raw.command_status, raw.sequence_number) == (SUBMIT_SM_RESP, status, sequence)


HEADERS_ONLY = {
    "enquire_link": ENQUIRE_LINK,
    "enquire_link_resp": ENQUIRE_LINK_RESP,
    "unbind": UNBIND,
    "unbind_resp": UNBIND_RESP,
    "generic_nack": GENERIC_NACK,
}


@pytest.mark.parametrize("command", sorted(HEADERS_ONLY))
@given(sequences, st.integers(0, 0xFFFFFFFF))
def test_pdus_without_a_body_pass_in_both_directions(command: str, sequence: int, status: int) -> None:
    written = write_smpplib(command, sequence, status=status)
    assert written == encode_pdu(HEADERS_ONLY[command], status, sequence)
    assert feed(written).others == [Pdu(HEADERS_ONLY[command], status, sequence, b"")]
    other = read_smpplib(written)
    assert (other.command, other.sequence, other.status) == (command, sequence, status)


@given(st.lists(sequences, min_size=1, max_size=5))
def test_acknowledgements_are_read_by_both(numbers: list[int]) -> None:
    written = bytes(encode_acknowledgements(DELIVER_SM_RESP, 0, numbers))
    length = len(written) // len(numbers)
    for place, number in enumerate(numbers):
        pdu = written[place * length : (place + 1) * length]
        raw = smpp34.decode(pdu)
        assert isinstance(raw, smpp34.RawPdu)
        assert (raw.command_id, raw.sequence_number, raw.body) == (DELIVER_SM_RESP, number, b"\0")
        assert read_smpplib(pdu).sequence == number


@given(ascii_text(20), st.text("0123456789", max_size=20), octet, octet, st.binary(min_size=1, max_size=500), sequences)
def test_a_data_sm_that_smpplib_wrote_is_read(
    source: str, destination: str, esm_class: int, coding: int, payload: bytes, sequence: int
) -> None:
    written = write_smpplib(
        "data_sm",
        sequence,
        source_addr=source,
        destination_addr=destination,
        esm_class=esm_class,
        data_coding=coding,
        message_payload=payload,
    )
    (delivery,) = feed(written).deliveries
    assert int.from_bytes(written[4:8], "big") == DATA_SM
    assert (delivery.source, delivery.destination) == (source.encode(), destination.encode())
    assert (delivery.esm_class, delivery.data_coding, delivery.text) == (esm_class, coding, payload)


@given(fields, sequences)
def test_a_delivery_that_smpp34_wrote_is_read_among_others(given: dict[str, Any], sequence: int) -> None:
    written = smpp34.DeliverSm(**given, sequence_number=sequence).encode()
    (delivery,) = feed(encode_pdu(ENQUIRE_LINK, 0, 1) + written + encode_pdu(UNBIND, 0, 2)).deliveries
    assert delivery == parse_delivery(written, HEADER_LENGTH, len(written), sequence)
    assert delivery.short_message == given["short_message"]


@given(ascii_text(15), ascii_text(8), sequences)
def test_an_outbind_reaches_the_session_whole(system_id: str, password: str, sequence: int) -> None:
    body = system_id.encode() + b"\0" + password.encode() + b"\0"
    pdu = encode_pdu(0x0000000B, 0, sequence, body)
    raw = smpp34.decode(pdu)
    assert isinstance(raw, smpp34.RawPdu)
    assert feed(pdu).others == [Pdu(raw.command_id, 0, raw.sequence_number, raw.body)]


@given(st.text("0123456789", max_size=20), ascii_text(20), octet, sequences)
def test_an_alert_notification_reaches_the_session_whole(source: str, esme: str, ton: int, sequence: int) -> None:
    written = write_smpplib("alert_notification", sequence, source_addr=source, esme_addr=esme, source_addr_ton=ton)
    (pdu,) = feed(written).others
    assert (pdu.command, pdu.sequence, pdu.body) == (0x00000102, sequence, written[HEADER_LENGTH:])
    other = read_smpplib(encode_pdu(pdu.command, 0, pdu.sequence, pdu.body))
    assert (other.source_addr, other.esme_addr, other.source_addr_ton) == (source.encode(), esme.encode(), ton)
