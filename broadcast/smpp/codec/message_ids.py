"""How an account writes message ids in its receipts, and ids in the one form in which they are compared."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

LONGEST_ID: Final = 255
"""Octets of a message id; the standard allows 64 (5.2.23), some SMSCs write more."""

LONGEST_NUMBER: Final = 128
"""Digits of an id that is changed to another base; a longer one stays as it is."""


class MessageIdRule(StrEnum):
    """How an account's receipts write the id that its submit responses gave; a setting, never guessed.

    A hex id may consist of digits only, so that an id does not show its form. `hex_to_decimal` is for accounts whose
    response is hex and whose receipt is decimal, `decimal_to_hex` the other way round: both are changed to the form of
    the receipt. Ids above 2^63 are in use.
    """

    AS_IS = "as_is"
    CASE_INSENSITIVE = "case_insensitive"
    STRIP_ZEROS = "strip_zeros"
    HEX_TO_DECIMAL = "hex_to_decimal"
    DECIMAL_TO_HEX = "decimal_to_hex"


def name_rule(rule: MessageIdRule, width: int = 0) -> str:
    """The rule, and after a slash the width if there is one: `as_is`, `hex_to_decimal/10`."""
    return f"{rule.value}/{width}" if width else rule.value


def _to_decimal(message_id: bytes) -> bytes:
    # int() also takes signs, blanks and underscores, which are no part of a number here.
    if len(message_id) > LONGEST_NUMBER or not message_id.isalnum():
        return message_id
    try:
        return b"%d" % int(message_id, 16)
    except ValueError:
        return message_id


def _to_hex(message_id: bytes) -> bytes:
    if len(message_id) > LONGEST_NUMBER or not message_id.isdigit():
        return message_id
    return b"%X" % int(message_id)


def _strip_decimal(message_id: bytes) -> bytes:
    return message_id.lstrip(b"0") or message_id[-1:]


def _strip_hex(message_id: bytes) -> bytes:
    return _strip_decimal(message_id.upper())


def _keep(message_id: bytes) -> bytes:
    return message_id


_RESPONSE_RULES: Final[Mapping[MessageIdRule, Callable[[bytes], bytes]]] = {
    MessageIdRule.AS_IS: _keep,
    MessageIdRule.CASE_INSENSITIVE: bytes.upper,
    MessageIdRule.STRIP_ZEROS: _strip_hex,
    MessageIdRule.HEX_TO_DECIMAL: _to_decimal,
    MessageIdRule.DECIMAL_TO_HEX: _to_hex,
}
_RECEIPT_RULES: Final[Mapping[MessageIdRule, Callable[[bytes], bytes]]] = {
    **_RESPONSE_RULES,
    MessageIdRule.HEX_TO_DECIMAL: _strip_decimal,
    MessageIdRule.DECIMAL_TO_HEX: _strip_hex,
}


def normalise_response_ids(message_ids: Iterable[bytes], rule: MessageIdRule, width: int = 0) -> list[bytes]:
    """Ids of submit responses in the form in which receipts are looked up. An id that does not fit stays as it is.

    With `width` only so many characters at the end of an id count; 0: all.
    """
    return _normalise(message_ids, _RESPONSE_RULES[rule], width)


def normalise_receipt_ids(message_ids: Iterable[bytes], rule: MessageIdRule, width: int = 0) -> list[bytes]:
    """Ids of receipts in the same form."""
    return _normalise(message_ids, _RECEIPT_RULES[rule], width)


def _normalise(message_ids: Iterable[bytes], change: Callable[[bytes], bytes], width: int) -> list[bytes]:
    changed = list(message_ids) if change is _keep else list(map(change, message_ids))
    return [message_id[-width:] for message_id in changed] if width else changed
