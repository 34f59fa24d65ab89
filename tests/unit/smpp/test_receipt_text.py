"""Receipts as SMSCs really write them, and ids in two number bases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.receipts import (
    RECEIPT_STATES,
    MessageIdRule,
    MessageState,
    normalise_receipt_ids,
    normalise_response_ids,
    parse_receipt,
    seconds_between,
)
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    encode_tlvs,
)
from schemas.receipt import ReceiptState


def deliver(text: bytes, esm_class: int = 4, tlvs: tuple[tuple[int, bytes], ...] = ()) -> Delivery:
    return Delivery(1, esm_class, b"49151", b"TOCSIN", 0, text, encode_tlvs(tlvs))


D, U, X = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.UNKNOWN


@pytest.mark.parametrize(
    ("text", "message_id", "state", "error", "done"),
    [
        # Appendix B
        (
            b"id:0123456789 sub:001 dlvrd:001 submit date:2601021530 done date:2601021531 stat:DELIVRD err:000 text:Hi",
            *(b"0123456789", D, "000", b"2601021531"),
        ),
        # seconds in the dates
        (
            b"id:1a2B sub:001 dlvrd:001 submit date:260102153059 done date:260102153101 stat:DELIVRD err:000 text:",
            *(b"1a2B", D, "000", b"260102153101"),
        ),
        # no dates, no sub, no dlvrd
        (b"id:77 stat:UNDELIV err:2F", b"77", U, "2F", b""),
        # no err, no text
        (b"id:77 sub:001 dlvrd:000 submit date:2601021530 done date:2601021531 stat:EXPIRED", b"77", 3, "", None),
        # non-numeric err, a state of its own, a date of zeros
        (
            b"id:abc-def sub:1 dlvrd:0 submit date:0000000000 done date:0000000000 stat:FAILED err:ABSENT text:x",
            *(b"abc-def", U, "ABSENT", b"0000000000"),
        ),
        (b"id:5 sub:001 dlvrd:001 submit date:2601021530 done date:2601021531 stat:QUEUED err:1", b"5", X, "1", None),
        # lower case, capital names
        (b"ID:5 SUB:001 DLVRD:001 SUBMIT DATE:1 DONE DATE:2 STAT:delivrd ERR:000 TEXT:", b"5", D, "000", b"2"),
        # commas (Kannel devel msg02229)
        (b"id:5,sub:001,dlvrd:001,submit date:1,done date:2,stat:REJECTD,err:009,text:", b"5", 8, "009", b"2"),
        # another order, and underscores
        (b"stat:DELIVRD err:000 done_date:2601 submit_date:2600 id:991", b"991", D, "000", b"2601"),
        # empty fields
        (b"id:9 sub: dlvrd: submit date: done date: stat:ACCEPTD err: text:", b"9", 6, "", b""),
        # leading blank, several blanks
        (b"  id:9   sub:001  dlvrd:001  submit date:1  done date:2   stat:ENROUTE  err:0", b"9", 1, "0", b"2"),
        # the copied text imitates a receipt
        (b"sub:001 id:9 stat:UNDELIV err:1 text:id:666 stat:DELIVRD", b"9", U, "1", b""),
        # no state at all: UNKNOWN, which is no failure
        (b"id:9 sub:001 dlvrd:001", b"9", X, "", b""),
    ],
)
def test_texts_of_the_field(text: bytes, message_id: bytes, state: int, error: str, done: bytes | None) -> None:
    receipt = parse_receipt(deliver(text))
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (message_id, state, error)
    if done is not None:
        assert receipt.done == done


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"id: sub:001 dlvrd:001 stat:DELIVRD", b"\xff\xfe\0\1", b"stat:DELIVRD"]
)
def test_text_that_names_no_message_is_no_receipt(text: bytes) -> None:
    assert parse_receipt(deliver(text)) is None


def test_tlvs_go_before_the_text() -> None:
    tlvs = ((RECEIPTED_MESSAGE_ID, b"ABC\0"), (MESSAGE_STATE, b"\2"), (NETWORK_ERROR_CODE, b"\3\0\x2a"))
    receipt = parse_receipt(deliver(b"id:666 stat:UNDELIV err:001", tlvs=tlvs))
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (b"ABC", D, "3:42")


def test_tlvs_alone_are_enough_even_without_the_class() -> None:
    tlvs = ((RECEIPTED_MESSAGE_ID, b"ABC"), (MESSAGE_STATE, b"\5"))
    receipt = parse_receipt(deliver(b"", esm_class=0, tlvs=tlvs))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"ABC", U)


def test_text_may_be_in_the_payload_and_state_beyond_the_table() -> None:
    receipt = parse_receipt(deliver(b"", tlvs=((MESSAGE_PAYLOAD, b"id:7 stat:DELIVRD"), (MESSAGE_STATE, b"\x63"))))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"7", X)


def test_broken_tlvs_leave_the_text() -> None:
    delivery = Delivery(1, 4, b"1", b"2", 0, b"id:7 stat:DELIVRD", b"\0\x1e\0\x50A")
    receipt = parse_receipt(delivery)
    assert receipt is not None
    assert receipt.message_id == b"7"


def test_message_from_a_phone_is_no_receipt() -> None:
    assert parse_receipt(deliver(b"STOP", esm_class=0)) is None
    assert parse_receipt(deliver(b"id:1 stat:DELIVRD", esm_class=0x40)) is None


def test_an_intermediate_notification_is_a_receipt_that_is_not_final() -> None:
    receipt = parse_receipt(deliver(b"id:1 stat:ENROUTE", esm_class=0x20))
    assert receipt is not None
    assert receipt.receipt_state is ReceiptState.ENROUTE


@given(st.binary(max_size=200), st.integers(0, 255), st.binary(max_size=40))
def test_no_bytes_make_it_raise(text: bytes, esm_class: int, optional: bytes) -> None:
    receipt = parse_receipt(Delivery(1, esm_class, b"1", b"2", 0, text, optional))
    assert receipt is None or receipt.message_id


def test_every_state_travels() -> None:
    assert set(RECEIPT_STATES) == set(MessageState)


def test_the_id_of_jasmin_586_which_exceeds_63_bits() -> None:
    rule = MessageIdRule.HEX_TO_DECIMAL
    assert normalise_response_ids([b"812FC7470000001B"], rule) == [b"9308878062554710043"]
    assert normalise_receipt_ids([b"9308878062554710043"], rule) == [b"9308878062554710043"]
    rule = MessageIdRule.DECIMAL_TO_HEX
    assert normalise_response_ids([b"9308878062554710043"], rule) == [b"812FC7470000001B"]
    assert normalise_receipt_ids([b"0812fc7470000001b"], rule) == [b"812FC7470000001B"]


@given(st.integers(0, 1 << 200), st.integers(0, 4), st.booleans())
def test_both_sides_meet_whatever_zeros_and_case(number: int, zeros: int, lower: bool) -> None:
    decimal = b"0" * zeros + b"%d" % number
    hexadecimal = b"0" * zeros + (b"%x" if lower else b"%X") % number
    for rule, response, receipt in (
        (MessageIdRule.HEX_TO_DECIMAL, hexadecimal, decimal),
        (MessageIdRule.DECIMAL_TO_HEX, decimal, hexadecimal),
        (MessageIdRule.STRIP_ZEROS, hexadecimal, b"%X" % number),
        (MessageIdRule.CASE_INSENSITIVE, hexadecimal, hexadecimal.swapcase()),
    ):
        assert normalise_response_ids([response], rule) == normalise_receipt_ids([receipt], rule)


@pytest.mark.parametrize("rule", list(MessageIdRule))
def test_ids_that_do_not_fit_the_rule_pass(rule: MessageIdRule) -> None:
    odd = [b"7E3F-XYZ", b"", b"zz"]
    assert [each.upper() for each in normalise_response_ids(odd, rule)] == [each.upper() for each in odd]
    assert len(normalise_receipt_ids(odd, rule)) == 3


def test_as_is_never_guesses_a_base() -> None:
    ids = [b"0010", b"ABC", b"10"]
    assert normalise_response_ids(ids, MessageIdRule.AS_IS) == ids == normalise_receipt_ids(ids, MessageIdRule.AS_IS)


@pytest.mark.parametrize(
    ("submitted", "done", "seconds"),
    [
        (b"2601021530", b"2601021531", 60.0),
        (b"260102153000", b"260102153007", 7.0),
        (b"2601021530", b"260102153007", 7.0),
        (b"2601022359", b"2601030001", 120.0),
        (b"2601021531", b"2601021530", None),
        (b"", b"2601021530", None),
        (b"2613021530", b"2601021530", None),
        (b"20260102153000", b"20260102153007", None),
    ],
)
def test_how_long_a_message_took_by_its_receipt(submitted: bytes, done: bytes, seconds: float | None) -> None:
    assert seconds_between(submitted, done) == seconds
