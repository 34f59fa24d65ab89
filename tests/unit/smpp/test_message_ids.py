"""Message ids in two number bases, with other case, zeros or width: both sides meet by the account's rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids, normalise_response_ids


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


@pytest.mark.parametrize("rule", list(MessageIdRule))
def test_an_id_of_5_000_digits_is_passed_on(rule: MessageIdRule) -> None:
    endless = b"1" * 5_000
    assert normalise_response_ids([endless, b"7"], rule)[0] == endless
    assert normalise_receipt_ids([endless, b"7"], rule)[0] == endless


@pytest.mark.parametrize("odd", [b"1_0", b"+5", b"-5", b" 5", b"0x", b"\xb2", b"\xd9\xa1"])
def test_what_only_python_reads_as_a_number_stays_as_it_is(odd: bytes) -> None:
    assert normalise_response_ids([odd], MessageIdRule.HEX_TO_DECIMAL) == [odd]
    assert normalise_response_ids([odd], MessageIdRule.DECIMAL_TO_HEX) == [odd]


def test_a_width_compares_the_end_of_ids() -> None:
    response, receipt = [b"20260926-0123456789"], [b"0123456789"]
    rule = MessageIdRule.AS_IS
    assert normalise_response_ids(response, rule, 10) == normalise_receipt_ids(receipt, rule, 10) == receipt
    rule = MessageIdRule.HEX_TO_DECIMAL
    assert normalise_response_ids([b"812FC7470000001B"], rule, 10) == [b"2554710043"]
    assert normalise_receipt_ids([b"9308878062554710043"], rule, 10) == [b"2554710043"]


@given(st.binary(max_size=300), st.sampled_from(MessageIdRule), st.integers(0, 64))
def test_any_octets_pass_through_every_rule(message_id: bytes, rule: MessageIdRule, width: int) -> None:
    for normalise in (normalise_response_ids, normalise_receipt_ids):
        (once,) = normalise([message_id], rule, width)
        assert not width or len(once) <= width
